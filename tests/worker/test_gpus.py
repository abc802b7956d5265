"""
Tests of L{siger.worker.gpus}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.worker.gpus import Gpus, Misfits
from tests.jobs.making import job


class GpusTests(SynchronousTestCase):
    """
    Whom they are given.
    """

    def test_uncounted(self) -> None:
        """
        A worker that does not count GPUs takes any job, or those for its type and for any, and gives none.
        """
        any_worker, typed = Gpus(), Gpus(0, "A100")
        self.assertTrue(any_worker.fits(job(gpu_type="H100", gpu_count=64)))
        self.assertEqual(any_worker.take(job(gpu_count=4)), ())
        self.assertFalse(any_worker.exhausted)
        self.assertEqual([typed.fits(job(gpu_type=name)) for name in ("A100", "any", "H100")], [True, True, False])

    def test_counted(self) -> None:
        """
        GPUs are given once, the lowest first, and again when they were given back.
        """
        gpus = Gpus(4, "A100")
        self.assertFalse(gpus.fits(job(gpu_count=5)))
        first = gpus.take(job(gpu_count=1))
        second = gpus.take(job(gpu_count=2))
        self.assertEqual((first, second, gpus.free), ((0,), (1, 2), 1))
        self.assertEqual([gpus.fits(job(gpu_count=count)) for count in (0, 1, 2)], [True, True, False])
        gpus.take(job(gpu_count=1))
        self.assertTrue(gpus.exhausted)
        gpus.give_back(first)
        self.assertEqual(gpus.take(job(gpu_count=1)), (0,))


class MisfitsTests(SynchronousTestCase):
    """
    When to come again.
    """

    def test_delay(self) -> None:
        """
        The more jobs there are that do not fit, the longer each is left alone, within bounds. Old ones are forgotten.
        """
        misfits = Misfits()
        self.assertEqual([misfits.delay("a", 0.0) for _ in range(3)], [1.0] * 3)
        delays = [misfits.delay(str(number), 1.0) for number in range(200)]
        self.assertEqual((delays[38], delays[79], delays[-1]), (10.0, 20.25, 30.0))
        self.assertEqual(misfits.delay("b", 100.0), 1.0)

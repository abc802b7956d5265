"""
Tests of L{siger.demo.training}.
"""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.demo.training import Network, demonstrate, generate


class Recorder:
    """
    A job that remembers what is said about it.
    """

    def __init__(self, type_: str, stop_at: float = 1000, **params: Any) -> None:
        self.type = type_
        self.params = params
        self.lines: list[str] = []
        self.percents: list[float] = []
        self._stop_at = stop_at

    async def progress(self, percent: float, message: str = "") -> None:
        self.percents.append(percent)

    async def log(self, line: str, level: str = "info") -> None:
        self.lines.append(line)

    async def check(self) -> None:
        await asyncio.sleep(0)
        if self.percents and self.percents[-1] >= self._stop_at:
            raise InterruptedError


def demonstrated(job: Recorder) -> dict[str, Any]:
    """
    What the demonstration makes of a job.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(demonstrate(job))
    finally:
        loop.close()


class TrainingTests(SynchronousTestCase):
    """
    It computes.
    """

    def test_learns(self) -> None:
        """
        The network gets better by what it learns: also on what it has not seen, and at more than chance.
        """
        network, examples, others = Network(), generate(200), generate(200, seed=2)
        before = network.accuracy(others)
        losses = [network.learn(examples, 1.0) for _ in range(150)]
        self.assertLess(losses[-1], losses[0] * 0.7)
        self.assertGreater(network.accuracy(others), max(0.65, before))

    def test_gradient(self) -> None:
        """
        A small step lowers the loss by what its gradient says: the loss falls at every one.
        """
        network, examples = Network(), generate(50)
        losses = [network.learn(examples, 0.05) for _ in range(30)]
        self.assertEqual(losses, sorted(losses, reverse=True))

    def test_training(self) -> None:
        """
        Each epoch is told, and the loss falls; parameters count, and nonsense is no obstacle.
        """
        job = Recorder("ai_training", epochs=3, batch_size=16, learning_rate=0.00002, model="bert-base")
        result = demonstrated(job)
        self.assertEqual((result["epochs"], len(result["losses"])), (3, 3))
        self.assertLess(result["loss"], result["first_loss"])
        self.assertEqual(job.percents, sorted(job.percents))
        self.assertIn("batches of 16", job.lines[0])
        strange = Recorder("other", 5, epochs="many", batch_size=None, learning_rate=float("nan"))
        self.assertRaises(InterruptedError, demonstrated, strange)

    def test_others(self) -> None:
        """
        The other types compute something else.
        """
        result = demonstrated(Recorder("data_processing", rows=3000))
        self.assertEqual((result["rows"], sum(result["histogram"])), (3000, 3000))
        result = demonstrated(Recorder("inference", samples=20))
        self.assertEqual(len(result["predictions"]), 20)

    def test_cancelled(self) -> None:
        """
        It stops when it is told to.
        """
        job = Recorder("ai_training", 20, epochs=10)
        self.assertRaises(InterruptedError, demonstrated, job)
        self.assertEqual(job.percents, [10.0, 20.0])

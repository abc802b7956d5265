"""
Tests for L{siger.jobs.quotas}.
"""

from __future__ import annotations

import orjson
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.jobs import JobQuotas
from siger.errors import Reason
from siger.jobs.quotas import Quotas
from siger.jobs.refusals import RefusedError
from tests.jobs.memory import Counts


class QuotaTests(SynchronousTestCase):
    """
    What users have against what they may have.
    """

    def setUp(self) -> None:
        """
        Nobody has anything.
        """
        self.counts: dict[str, Counts] = {}

    def quotas(self, queued: int = 0, running: int = 0, gpus: int = 0, kept: int = 0) -> Quotas:
        """
        Quotas for these users.
        """
        return Quotas(JobQuotas(queued, running, gpus, kept), lambda user: self.counts.get(user, Counts()))

    def exceeded(self, quotas: Quotas, gpus: int = 1, user: str = "ada") -> str:
        """
        The quota that one more job would exceed; C{""} for none.
        """
        try:
            quotas.check(user, gpus)
        except RefusedError as error:
            self.assertIs(error.reason, Reason.QUOTA_EXCEEDED)
            said = orjson.loads(b"{" + error.members[1:] + b"}")
            self.assertEqual(said["limit"], getattr(quotas._limits, said["quota"]))
            return str(said["quota"])
        return ""

    def test_none(self) -> None:
        """
        Without quotas anything goes.
        """
        self.counts["ada"] = Counts(10**6, 10**6, 10**6, 10**6)
        self.assertEqual(self.exceeded(self.quotas(), 64), "")
        self.assertEqual(self.quotas().verdict("ada", 1), {"within": True})

    def test_each(self) -> None:
        """
        Each quota is kept up to its very limit, for each user by themselves.
        """
        for name, below, at in (
            ("queued", Counts(4, 99, 99), Counts(5, 0, 0)),
            ("running", Counts(99, 4, 99), Counts(0, 5, 0)),
            ("gpus", Counts(99, 99, 3), Counts(0, 0, 4)),
            ("kept", Counts(99, 99, 99, 4), Counts(0, 0, 0, 5)),
        ):
            quotas = self.quotas(**{name: 5})
            self.counts["ada"] = below
            self.assertEqual(self.exceeded(quotas, 2), "")
            self.counts["ada"] = at
            self.assertEqual(self.exceeded(quotas, 2), name)
            self.assertEqual(self.exceeded(quotas, 2, "bob"), "")

    def test_gpus(self) -> None:
        """
        A job that needs none is not kept out by a quota of GPUs.
        """
        self.counts["ada"] = Counts(gpus=4)
        self.assertEqual(self.exceeded(self.quotas(gpus=4), 0), "")

    def test_coming(self) -> None:
        """
        What is on its way counts, until it is among the records or was refused.
        """
        quotas = self.quotas(queued=3, gpus=6)
        quotas.reserve("ada", 2)
        quotas.reserve("ada", 2)
        self.assertEqual(self.exceeded(quotas, 3), "gpus")
        quotas.reserve("ada", 2)
        self.assertEqual(self.exceeded(quotas, 0), "queued")
        self.assertRaises(RefusedError, quotas.reserve, "ada", 1)
        self.assertEqual(self.exceeded(quotas, 6, "bob"), "")
        quotas.release("ada", 2)
        self.assertEqual(self.exceeded(quotas, 2), "")
        for _ in range(2):
            quotas.release("ada", 2)
        self.assertEqual(quotas.verdict("ada", 6)["gpus"], {"used": 0, "limit": 6})

    def test_verdict(self) -> None:
        """
        What is used of each quota that there is can be seen.
        """
        self.counts["ada"] = Counts(2, 1, 8)
        self.assertEqual(
            self.quotas(queued=2, gpus=16).verdict("ada", 1),
            {"within": False, "queued": {"used": 2, "limit": 2}, "gpus": {"used": 8, "limit": 16}},
        )

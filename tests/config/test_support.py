"""
Tests of L{siger.config.support}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.reading import errors_of, loaded


class RefusedTests(SynchronousTestCase):
    """
    What does not work yet is refused.
    """

    def test_workers(self) -> None:
        """
        Several processes.
        """
        self.assertEqual(
            ["config.yaml:1: workers: several worker processes are not supported by this version"],
            errors_of("workers: 2"),
        )

    def test_wrong_anyway(self) -> None:
        """
        What is wrong in itself is reported as that alone.
        """
        self.assertEqual(1, len(errors_of("workers: none")))
        self.assertEqual(1, len(errors_of("workers: '${NO}'")))

    def test_environment(self) -> None:
        """
        The environment is no way around.
        """
        errors = errors_of("", {"SIGER_WORKERS": "3"})
        self.assertEqual(["SIGER_WORKERS: workers: several worker processes are not supported by this version"], errors)

    def test_services_of_such_names(self) -> None:
        """
        A service named like a setting is not taken for it.
        """
        text = "services: {workers: {instances: ['h:1']}, '2': {instances: ['h:1']}}"
        self.assertEqual({"workers", "2"}, set(loaded(text).services))

    def test_supported(self) -> None:
        """
        What works comes with neither errors nor warnings, wherever it stands.
        """
        text = (
            "nats_address: embedded\njwt_secret: 0123456789abcdef-0123456789abcdef\njwt_expiration: 5\n"
            "registration: closed\ncors: {origins: ['*']}\nrate_limit: {requests_per_second: 1}\n"
            "service_defaults: {auth: user, cors: off, rate_limit: {requests_per_second: 1}}\n"
            "services: {a: {instances: ['h:1'], auth: [x], rate_limit: {requests_per_second: 1}}}\n"
            "routes: [{path: /, service: a, auth: user, rate_limit: {requests_per_second: 1}}]\n"
        )
        self.assertEqual((), loaded(text).warnings)

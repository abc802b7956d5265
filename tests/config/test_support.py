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

    def test_protocols(self) -> None:
        """
        Every protocol but HTTP/1.1.
        """
        message = "a protocol other than http1 is not supported by this version"
        self.assertEqual(
            [f"config.yaml:1: service_defaults.protocol: {message}", f"config.yaml:2: services.a.protocol: {message}"],
            errors_of("service_defaults: {protocol: h2}\nservices: {a: {protocol: https}, b: {protocol: http1}}"),
        )

    def test_workers(self) -> None:
        """
        Several processes.
        """
        self.assertEqual(
            ["config.yaml:1: workers: several worker processes are not supported by this version"],
            errors_of("workers: 2"),
        )

    def test_grpc(self) -> None:
        """
        Routes of gRPC services.
        """
        self.assertEqual(
            ["config.yaml:1: routes[0].grpc: gRPC routes are not supported by this version"],
            errors_of("routes: [{grpc: a.B, service: s}]\nconsul_address: c"),
        )

    def test_wrong_anyway(self) -> None:
        """
        What is wrong in itself is reported as that alone.
        """
        self.assertEqual(1, len(errors_of("workers: none")))
        self.assertEqual(1, len(errors_of("service_defaults: {protocol: root}")))
        self.assertEqual(1, len(errors_of("service_defaults: {protocol: '${NO}'}")))

    def test_environment(self) -> None:
        """
        The environment is no way around.
        """
        errors = errors_of("", {"SIGER_SERVICE_DEFAULTS__PROTOCOL": "h2c"})
        message = "service_defaults.protocol: a protocol other than http1 is not supported by this version"
        self.assertEqual([f"SIGER_SERVICE_DEFAULTS__PROTOCOL: {message}"], errors)

    def test_services_of_such_names(self) -> None:
        """
        A service named like a setting is not taken for it.
        """
        text = "services: {workers: {instances: ['h:1']}, protocol: {instances: ['h:1']}}"
        self.assertEqual({"workers", "protocol"}, set(loaded(text).services))

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

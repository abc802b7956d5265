"""
Tests of L{siger.config.support}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.reading import errors_of, loaded

IGNORED = "is read, but this version does not act on it yet"


class RefusedTests(SynchronousTestCase):
    """
    What would protect and does not is refused.
    """

    def test_access_control(self) -> None:
        """
        Everything but public access, wherever it can be asked for.
        """
        text = (
            "service_defaults: {auth: user}\n"
            "services:\n"
            "  a: {auth: [admin]}\n"
            "  b: {auth: public}\n"
            "routes:\n"
            "  - {path: /a, service: a, auth: public}\n"
            "  - {path: /b, service: a, auth: user}\n"
        )
        message = "access control is not supported by this version"
        self.assertEqual(
            [
                f"config.yaml:1: service_defaults.auth: {message}",
                f"config.yaml:3: services.a.auth: {message}",
                f"config.yaml:7: routes[1].auth: {message}",
            ],
            errors_of(text),
        )

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
        self.assertEqual(1, len(errors_of("service_defaults: {auth: root}")))
        self.assertEqual(1, len(errors_of("service_defaults: {auth: '${NO}'}")))

    def test_environment(self) -> None:
        """
        The environment is no way around.
        """
        errors = errors_of("", {"SIGER_SERVICE_DEFAULTS__AUTH": "user"})
        self.assertEqual(
            ["SIGER_SERVICE_DEFAULTS__AUTH: service_defaults.auth: access control is not supported by this version"],
            errors,
        )


class IgnoredTests(SynchronousTestCase):
    """
    What is only read comes with a warning.
    """

    def warned(self, text: str) -> list[str]:
        """
        The warnings, without directories.
        """
        return ["config.yaml" + warning.partition("config.yaml")[2] for warning in loaded(text).warnings]

    def test_written(self) -> None:
        """
        One for each setting, with its place.
        """
        text = (
            "nats_address: embedded\n"
            "jwt_secret: 0123456789abcdef-0123456789abcdef\n"
            "jwt_expiration: 5\n"
            "registration: open\n"
            "cors: {origins: ['*']}\n"
            "rate_limit: {requests_per_second: 1}\n"
            "service_defaults: {rate_limit: {requests_per_second: 1}}\n"
            "services: {a: {instances: ['h:1'], rate_limit: {requests_per_second: 1}}}\n"
            "routes: [{path: /, service: a, rate_limit: {requests_per_second: 1}}]\n"
        )
        keys = ["nats_address", "jwt_secret", "jwt_expiration", "registration", "cors", "rate_limit"]
        keys += ["service_defaults.rate_limit", "services.a.rate_limit", "routes[0].rate_limit"]
        self.assertEqual([f"config.yaml:{i + 1}: {key} {IGNORED}" for i, key in enumerate(keys)], self.warned(text))

    def test_defaults(self) -> None:
        """
        None for what is not written, or written as off.
        """
        text = "rate_limit: off\ncors: 'off'\nnats_address: ''\nservice_defaults: {rate_limit: false}\n"
        self.assertEqual([], self.warned(""))
        self.assertEqual([], self.warned(text))

    def test_services_of_such_names(self) -> None:
        """
        A service named like a setting is not taken for it.
        """
        self.assertEqual([], self.warned("services: {cors: {instances: ['h:1']}, workers: {instances: ['h:1']}}"))

"""
Tests for L{siger.errors}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.errors import ConfigError, Reason, Source


class ReasonTests(SynchronousTestCase):
    """
    Tests for L{Reason}.
    """

    def test_codes(self) -> None:
        """
        Every reason has a code of its own, in the words of its name's kind: letters and underscores.
        """
        codes = [reason.code for reason in Reason]
        self.assertEqual(len(codes), len(set(codes)))
        for code in codes:
            self.assertRegex(code, r"\A[a-z]+(_[a-z]+)*\Z")

    def test_statuses(self) -> None:
        """
        A client's fault is a 4xx, but for what the gateway cannot do for it; an instance's is a 5xx.
        """
        for reason in Reason:
            if reason.source is Source.CLIENT:
                self.assertTrue(400 <= reason.status < 500 or reason.status in (501, 505, 508), reason)
            else:
                self.assertTrue(500 <= reason.status < 600, reason)

    def test_titles(self) -> None:
        """
        Every reason has a title that can stand in JSON and in a log as it is.
        """
        for reason in Reason:
            self.assertRegex(reason.title, r"\A[A-Z][A-Za-z ]+\Z")

    def test_proxy_errors(self) -> None:
        """
        The error types are those that RFC 9209 section 2.3 registers.
        """
        registered = {
            "dns_timeout",
            "dns_error",
            "destination_not_found",
            "destination_unavailable",
            "destination_ip_prohibited",
            "destination_ip_unroutable",
            "connection_refused",
            "connection_terminated",
            "connection_timeout",
            "connection_read_timeout",
            "connection_write_timeout",
            "connection_limit_reached",
            "tls_protocol_error",
            "tls_certificate_error",
            "tls_alert_received",
            "http_request_error",
            "http_request_denied",
            "http_response_incomplete",
            "http_response_header_section_size",
            "http_response_header_size",
            "http_response_body_size",
            "http_response_trailer_section_size",
            "http_response_trailer_size",
            "http_response_transfer_coding",
            "http_response_content_coding",
            "http_response_timeout",
            "http_upgrade_failed",
            "http_protocol_error",
            "proxy_internal_response",
            "proxy_internal_error",
            "proxy_configuration_error",
            "proxy_loop_detected",
        }
        for reason in Reason:
            self.assertIn(reason.proxy_error, registered | {""}, reason)

    def test_upstream(self) -> None:
        """
        Only what an instance did counts against it: a full pool or a client that left does not.
        """
        blamed = {reason.code for reason in Reason if reason.source is Source.UPSTREAM}
        self.assertEqual(
            blamed,
            {
                "upstream_refused",
                "upstream_unreachable",
                "upstream_tls",
                "upstream_reset",
                "upstream_malformed",
                "upstream_upgrade",
                "upstream_truncated",
                "no_instance",
                "connect_timeout",
                "upstream_timeout",
            },
        )


class ConfigErrorTests(SynchronousTestCase):
    """
    Tests for L{ConfigError}.
    """

    def test_attributes(self) -> None:
        """
        It says what is wrong, and where.
        """
        error = ConfigError("expected a number", "services.echo.port", 12)
        self.assertEqual((error.message, error.path, error.line), ("expected a number", "services.echo.port", 12))
        self.assertEqual(str(error), "expected a number")

    def test_without_place(self) -> None:
        """
        There may be no place to name.
        """
        error = ConfigError("no")
        self.assertEqual((error.path, error.line), ("", None))

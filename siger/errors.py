"""
Every way a request can fail, named once.

A L{Reason} is the same word in the access log, in the metrics, in the C{Proxy-Status} field (RFC 9209) and in the
problem document (RFC 9457), so that a status seen by a client can be looked up without guessing.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["ConfigError", "Reason", "Source"]


class Source(Enum):
    """
    Who caused a failure: only C{UPSTREAM} ones count against an instance.
    """

    CLIENT = "client"
    UPSTREAM = "upstream"
    GATEWAY = "gateway"


class Reason(Enum):
    """
    Why the gateway answered by itself, or ended an exchange uncleanly.

    @ivar code: the word in logs, metrics and problem documents.
    @ivar status: the HTTP status a client gets while the response head is still ours to write.
    @ivar title: the problem document's C{title}.
    @ivar source: who caused it.
    @ivar proxy_error: the RFC 9209 error type, or C{""} when none fits.
    """

    # A table, one row a reason.
    # fmt: off
    MALFORMED_REQUEST = ("malformed_request", 400, "Malformed request", Source.CLIENT, "http_request_error")
    INVALID_HOST = ("invalid_host", 400, "Invalid or missing Host", Source.CLIENT, "http_request_error")
    INVALID_TARGET = ("invalid_target", 400, "Invalid request target", Source.CLIENT, "http_request_error")
    INVALID_FRAMING = ("invalid_framing", 400, "Invalid message framing", Source.CLIENT, "http_request_error")
    INCOMPLETE_BODY = ("incomplete_body", 400, "Request body ended early", Source.CLIENT, "http_request_error")
    INVALID_UPGRADE = ("invalid_upgrade", 400, "Invalid WebSocket handshake", Source.CLIENT, "http_request_error")
    INVALID_FIELDS = ("invalid_fields", 400, "Invalid fields", Source.CLIENT, "http_request_denied")
    UNAUTHENTICATED = ("unauthenticated", 401, "Authentication required", Source.CLIENT, "http_request_denied")
    INVALID_TOKEN = ("invalid_token", 401, "Invalid token", Source.CLIENT, "http_request_denied")
    INVALID_CREDENTIALS = ("invalid_credentials", 401, "Invalid username or password", Source.CLIENT, "http_request_denied")
    FORBIDDEN = ("forbidden", 403, "Forbidden", Source.CLIENT, "http_request_denied")
    REGISTRATION_CLOSED = ("registration_closed", 403, "Registration is closed", Source.CLIENT, "http_request_denied")
    NO_ROUTE = ("no_route", 404, "Not found", Source.CLIENT, "http_request_denied")
    UNKNOWN_SERVICE = ("unknown_service", 404, "Unknown service", Source.CLIENT, "destination_not_found")
    UNKNOWN_JOB = ("unknown_job", 404, "Unknown job", Source.CLIENT, "http_request_denied")
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405, "Method not allowed", Source.CLIENT, "http_request_denied")
    REQUEST_TIMEOUT = ("request_timeout", 408, "Request timeout", Source.CLIENT, "http_request_error")
    USERNAME_TAKEN = ("username_taken", 409, "Username taken", Source.CLIENT, "http_request_denied")
    IN_PROGRESS = ("in_progress", 409, "In progress", Source.CLIENT, "http_request_denied")
    BODY_TOO_LARGE = ("body_too_large", 413, "Request body too large", Source.CLIENT, "http_request_denied")
    URI_TOO_LONG = ("uri_too_long", 414, "Request target too long", Source.CLIENT, "http_request_denied")
    UNSUPPORTED_MEDIA = ("unsupported_media_type", 415, "Unsupported media type", Source.CLIENT, "http_request_denied")
    EXPECTATION_FAILED = ("expectation_failed", 417, "Expectation failed", Source.CLIENT, "http_request_denied")
    MISDIRECTED = ("misdirected_request", 421, "Misdirected request", Source.CLIENT, "http_request_denied")
    INVALID_JOB = ("invalid_job", 422, "Invalid job", Source.CLIENT, "http_request_denied")
    KEY_REUSED = ("key_reused", 422, "Idempotency key reused", Source.CLIENT, "http_request_denied")
    UPGRADE_REQUIRED = ("upgrade_required", 426, "Upgrade required", Source.CLIENT, "http_request_denied")
    RATE_LIMITED = ("rate_limited", 429, "Too many requests", Source.CLIENT, "http_request_denied")
    TOO_MANY_ATTEMPTS = ("too_many_attempts", 429, "Too many failed attempts", Source.CLIENT, "http_request_denied")
    QUOTA_EXCEEDED = ("quota_exceeded", 429, "Quota exceeded", Source.CLIENT, "http_request_denied")
    HEADERS_TOO_LARGE = ("headers_too_large", 431, "Request header fields too large", Source.CLIENT, "http_request_denied")
    CLIENT_GONE = ("client_gone", 499, "Client closed the connection", Source.CLIENT, "")
    INTERNAL_ERROR = ("internal_error", 500, "Internal error", Source.GATEWAY, "proxy_internal_error")
    METHOD_UNKNOWN = ("method_unknown", 501, "Method not implemented", Source.CLIENT, "http_request_denied")
    TRANSFER_CODING = ("transfer_coding", 501, "Transfer coding not implemented", Source.CLIENT, "http_request_error")
    UPSTREAM_REFUSED = ("upstream_refused", 502, "Upstream refused the connection", Source.UPSTREAM, "connection_refused")
    UPSTREAM_UNREACHABLE = ("upstream_unreachable", 502, "Upstream unreachable", Source.UPSTREAM, "destination_ip_unroutable")
    UPSTREAM_TLS = ("upstream_tls", 502, "Upstream TLS failed", Source.UPSTREAM, "tls_protocol_error")
    UPSTREAM_RESET = ("upstream_reset", 502, "Upstream closed the connection", Source.UPSTREAM, "connection_terminated")
    UPSTREAM_MALFORMED = ("upstream_malformed", 502, "Malformed upstream response", Source.UPSTREAM, "http_protocol_error")
    UPSTREAM_UPGRADE = ("upstream_upgrade", 502, "Invalid upstream upgrade", Source.UPSTREAM, "http_upgrade_failed")
    UPSTREAM_TRUNCATED = ("upstream_truncated", 502, "Upstream response ended early", Source.UPSTREAM, "http_response_incomplete")
    NO_INSTANCE = ("no_instance", 503, "No instance available", Source.UPSTREAM, "destination_unavailable")
    POOL_FULL = ("pool_full", 503, "Connection limit reached", Source.GATEWAY, "connection_limit_reached")
    OVERLOADED = ("overloaded", 503, "Too many connections", Source.GATEWAY, "connection_limit_reached")
    BUSY = ("busy", 503, "Too much to do", Source.GATEWAY, "")
    STORE_UNAVAILABLE = ("store_unavailable", 503, "Store unavailable", Source.GATEWAY, "")
    QUEUE_FULL = ("queue_full", 503, "Queue full", Source.GATEWAY, "")
    STARTING = ("starting", 503, "Starting", Source.GATEWAY, "")
    DRAINING = ("draining", 503, "Shutting down", Source.GATEWAY, "")
    CONNECT_TIMEOUT = ("connect_timeout", 504, "Connecting to upstream timed out", Source.UPSTREAM, "connection_timeout")
    DEADLINE_EXCEEDED = ("deadline_exceeded", 504, "Deadline exceeded", Source.GATEWAY, "http_response_timeout")
    UPSTREAM_TIMEOUT = ("upstream_timeout", 504, "Upstream timed out", Source.UPSTREAM, "http_response_timeout")
    VERSION_UNSUPPORTED = ("version_unsupported", 505, "HTTP version not supported", Source.CLIENT, "http_request_error")
    LOOP_DETECTED = ("loop_detected", 508, "Loop detected", Source.CLIENT, "proxy_loop_detected")
    # fmt: on

    code: str
    status: int
    title: str
    source: Source
    proxy_error: str

    def __init__(self, code: str, status: int, title: str, source: Source, proxy_error: str) -> None:
        self.code = code
        self.status = status
        self.title = title
        self.source = source
        self.proxy_error = proxy_error


class ConfigError(Exception):
    """
    A fault in the configuration: where it is, and what is wrong.

    @ivar path: the key path, as in C{services.echo.instances[0]}.
    @ivar line: the 1-based line in the file, or C{None} when the value came from elsewhere.
    """

    def __init__(self, message: str, path: str = "", line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.line = line

"""
Envoy with one worker. The chain: C{local_ratelimit}, C{x-request-id}, a JSON file access log.

The local rate limit keeps a token bucket for each client address by way of a wildcard descriptor. Tokens:
C{jwt_authn} with the key in its configuration, and with its cache of tokens that were verified.

For HTTP/2 the same: clients may speak either version, and there is a cluster for the gRPC backend that speaks HTTP/2.
"""

from __future__ import annotations

import base64

from benchmarks.peers.base import SERIES, Launch, Peer, Spec, fill
from benchmarks.tokens import AUDIENCE, ISSUER
from benchmarks.tools import find, first_line

__all__ = ["Envoy"]

_CONFIG = """
static_resources:
  listeners:
  - name: gate
    address: {socket_address: {address: 127.0.0.1, port_value: @PORT@}}
    tcp_backlog_size: 4096
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: gate
          codec_type: @CODEC@
          stream_idle_timeout: 600s
          generate_request_id: @IS_CHAIN@
          use_remote_address: @IS_CHAIN@
@CHAIN_MANAGER@
          route_config:
            name: routes
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: "@PREFIX@/"}
                route:
                  cluster: bench
                  timeout: 0s
@STRIP_ROUTE@
@CHAIN_ROUTE@
@CALLS_ROUTE@
          http_filters:
@CHAIN_FILTER@
@TOKEN_FILTER@
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: bench
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds: [{max_connections: 4096, max_pending_requests: 4096, max_requests: 4096}]
    load_assignment:
      cluster_name: bench
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @BACKEND_PORT@}}}
@CALLS_CLUSTER@
"""

_CHAIN_MANAGER = """
          always_set_request_id_in_response: true
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: @LOG@
              log_format:
                json_format:
                  time: "%START_TIME%"
                  request_id: "%REQ(X-REQUEST-ID)%"
                  client: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
                  method: "%REQ(:METHOD)%"
                  path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"
                  status: "%RESPONSE_CODE%"
                  bytes_in: "%BYTES_RECEIVED%"
                  bytes_out: "%BYTES_SENT%"
                  duration: "%DURATION%"
                  ttfb: "%RESPONSE_DURATION%"
                  service: "%UPSTREAM_CLUSTER%"
                  instance: "%UPSTREAM_HOST%"
                  reason: "%RESPONSE_FLAGS%"
"""

_STRIP_ROUTE = """
                  prefix_rewrite: "/"
"""

_CHAIN_ROUTE = """
                  rate_limits:
                  - actions: [{remote_address: {}}]
                request_headers_to_add:
                - header: {key: x-forwarded-host, value: "%REQ(:AUTHORITY)%"}
                  append_action: OVERWRITE_IF_EXISTS_OR_ADD
"""

_CALLS_ROUTE = (
    """
              - match: {prefix: "/@GRPC_SERVICE@/"}
                route:
                  cluster: calls
                  timeout: 0s
"""
    + _CHAIN_ROUTE
)

_CALLS_CLUSTER = """
  - name: calls
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds: [{max_connections: 4096, max_pending_requests: 4096, max_requests: 4096}]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: calls
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @GRPC_PORT@}}}
"""

_CHAIN_FILTER = """
          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: clients
              token_bucket: {max_tokens: 1000000000, tokens_per_fill: 1000000000, fill_interval: 1s}
              filter_enabled: {default_value: {numerator: 100, denominator: HUNDRED}}
              filter_enforced: {default_value: {numerator: 100, denominator: HUNDRED}}
              descriptors:
              - entries: [{key: remote_address}]
                token_bucket: {max_tokens: @LIMIT@, tokens_per_fill: @LIMIT@, fill_interval: 1s}
"""

_TOKEN_FILTER = """
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                gateway:
                  issuer: @ISSUER@
                  audiences: [@AUDIENCE@]
                  local_jwks: {inline_string: '{"keys": [{"kty": "oct", "alg": "HS256", "k": "@KEY@"}]}'}
                  claim_to_headers: [{header_name: x-user-id, claim_name: sub}]
                  jwt_cache_config: {}
              rules:
              - match: {prefix: "/"}
                requires: {provider_name: gateway}
"""


class Envoy(Peer):
    """
    Envoy, from its wheel or from PATH.
    """

    name = "envoy"
    tells_loopback = False  # it puts the machine's own address in place of 127.0.0.1
    series = SERIES
    limit = "local_ratelimit, a wildcard descriptor on remote_address"
    needs = ("envoy",)

    def version(self) -> str:
        return first_line(find("envoy"), "--version").split("version:")[-1].split("/")[1]

    def configure(self, spec: Spec) -> Launch:
        config = spec.room / "envoy.yaml"
        text = _CONFIG.replace("@IS_CHAIN@", "true" if spec.chain else "false")
        text = text.replace("@CODEC@", "AUTO" if spec.http2 else "HTTP1")
        text = text.replace("@STRIP_ROUTE@", _STRIP_ROUTE if spec.chain else "")
        text = text.replace("@CALLS_ROUTE@", _CALLS_ROUTE if spec.http2 else "")
        text = text.replace("@CALLS_CLUSTER@", _CALLS_CLUSTER if spec.http2 else "")
        for mark, part in (("MANAGER", _CHAIN_MANAGER), ("ROUTE", _CHAIN_ROUTE), ("FILTER", _CHAIN_FILTER)):
            text = text.replace(f"@CHAIN_{mark}@", part if spec.chain else "")
        text = text.replace("@TOKEN_FILTER@", _TOKEN_FILTER if spec.token else "")
        key = base64.urlsafe_b64encode(spec.secret.encode()).decode().rstrip("=")
        config.write_text(fill(text, spec, KEY=key, ISSUER=ISSUER, AUDIENCE=AUDIENCE))
        options = ("--concurrency", "1", "--disable-hot-restart", "--file-flush-interval-msec", "1000", "-l", "warning")
        return Launch((find("envoy"), "-c", str(config), *options))

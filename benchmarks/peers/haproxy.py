"""
HAProxy with one thread. The chain: a stick table counting requests by address, C{unique-id}, a JSON C{log-format}.
Tokens: C{jwt_verify}, and the claims that are to be checked one by one.

For HTTP/2 the same, with C{proto h2} to clients and to the gRPC backend.

HAProxy logs to sockets and descriptors, not to files: its standard output is the log file here.
"""

from __future__ import annotations

from benchmarks.backend import PREFIX
from benchmarks.peers.base import SERIES, Launch, Peer, Spec, fill
from benchmarks.tokens import AUDIENCE, ISSUER
from benchmarks.tools import find, first_line

__all__ = ["HAProxy"]

# "http-reuse always": with the default a client's first request never shares an idle connection, and the pool would be
# off where every request has a connection of its own.
_CONFIG = """
global
    nbthread 1
    maxconn 3000
@CHAIN_GLOBAL@
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    http-reuse always
frontend gate
    bind 127.0.0.1:@PORT@ backlog 4096@PROTO@
@CHAIN_FRONTEND@
    use_backend bench if { path_beg @PREFIX@/ }
@CALLS@
backend bench
    server instance 127.0.0.1:@BACKEND_PORT@
"""

_CALLS = """
    use_backend calls if { path_beg /@GRPC_SERVICE@/ }
backend calls
    server instance 127.0.0.1:@GRPC_PORT@ proto h2
"""

_CHAIN_GLOBAL = "    log stdout len 4096 format raw local0 info"

# The path is stripped by its known length, which costs less than a regular expression does.
_CHAIN_FRONTEND = """
    log global
    log-format '{"time":"%Tl","request_id":"%ID","client":"%ci","method":"%HM","path":"%[capture.req.uri,json(utf8s)]","status":%ST,"bytes_in":%U,"bytes_out":%B,"duration":%Ta,"ttfb":%Tr,"service":"%b","instance":"%s"}'
    unique-id-format %[uuid]
    stick-table type ip size 100k expire 60s store http_req_rate(1s)
    http-request track-sc0 src
    http-request deny deny_status 429 if { sc_http_req_rate(0) gt @LIMIT@ }
@TOKEN@
    http-request set-header X-Request-ID %[unique-id]
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-var(txn.bench) bool(true) if { path_beg @PREFIX@/ }
    http-request set-path %[path,bytes(@LENGTH@)] if { var(txn.bench) -m bool }
    http-response set-header X-Request-ID %[unique-id]
"""  # noqa: E501


_TOKEN = """
    http-request set-var(txn.bearer) http_auth_bearer
    http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify("HS256","@SECRET@") 1 }
    http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.iss') -m str @ISSUER@ }
    http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.aud') -m str @AUDIENCE@ }
    http-request set-var(txn.now) date()
    http-request set-var(txn.left) var(txn.bearer),jwt_payload_query('$.exp','int'),sub(txn.now)
    http-request deny deny_status 401 unless { var(txn.left) -m int gt 0 }
    http-request set-header X-User-Id %[var(txn.bearer),jwt_payload_query('$.sub')]
    http-request del-header Authorization
"""


class HAProxy(Peer):
    """
    HAProxy, the one that ratios are given to.
    """

    name = "haproxy"
    series = SERIES
    limit = "stick-table by src, http_req_rate"
    needs = ("haproxy",)

    def version(self) -> str:
        return first_line(find("haproxy"), "-v").split()[2]

    def configure(self, spec: Spec) -> Launch:
        config = spec.room / "haproxy.cfg"
        text = _CONFIG.replace("@CHAIN_GLOBAL@", _CHAIN_GLOBAL if spec.chain else "")
        text = text.replace("@CHAIN_FRONTEND@", _CHAIN_FRONTEND if spec.chain else "")
        text = text.replace("@TOKEN@", _TOKEN if spec.token else "")
        if spec.chain:
            text = text.replace("if { path_beg @PREFIX@/ }\n@CALLS@", "if { var(txn.bench) -m bool }\n@CALLS@")
        text = text.replace("@PROTO@", " proto h2" if spec.http2 else "")
        text = text.replace("@CALLS@", _CALLS if spec.http2 else "")
        config.write_text(fill(text, spec, LENGTH=str(len(PREFIX)), ISSUER=ISSUER, AUDIENCE=AUDIENCE))
        output = spec.access_log if spec.chain else None
        return Launch((find("haproxy"), "-db", "-f", str(config)), output=output)

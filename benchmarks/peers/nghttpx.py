"""
nghttpx with one worker, for HTTP/2 alone. It has no chain: it writes an access log and sets forwarding headers, and has
neither request ids nor a rate limit; nor does it strip the prefix.
"""

from __future__ import annotations

from benchmarks.peers.base import HTTP2, Launch, Peer, Spec, fill
from benchmarks.tools import find, first_line

__all__ = ["Nghttpx"]

_CONFIG = """
frontend=127.0.0.1,@PORT@;no-tls
backend=127.0.0.1,@BACKEND_PORT@;;proto=http/1.1
backend=127.0.0.1,@GRPC_PORT@;/@GRPC_SERVICE@/;proto=h2
workers=1
backlog=4096
frontend-http2-read-timeout=600s
stream-read-timeout=600s
stream-write-timeout=600s
backend-read-timeout=600s
backend-keep-alive-timeout=600s
errorlog-file=/dev/stderr
accesslog-file=@LOG@
accesslog-format={"time":"$time_iso8601","client":"$remote_addr","request":"$request","status":$status,"bytes_out":$body_bytes_sent,"duration":$request_time,"instance":"$backend_host:$backend_port"}
strip-incoming-x-forwarded-for=yes
add-x-forwarded-for=yes
"""


class Nghttpx(Peer):
    """
    The proxy of the nghttp2 library.
    """

    name = "nghttpx"
    series = (HTTP2,)
    has_limit = False
    has_request_id = False
    limit = "none built in"
    needs = ("nghttpx",)

    def version(self) -> str:
        return first_line(find("nghttpx"), "--version").rpartition("/")[2]

    def configure(self, spec: Spec) -> Launch:
        config = spec.room / "nghttpx.conf"
        config.write_text(fill(_CONFIG, spec))
        return Launch((find("nghttpx"), f"--conf={config}"))

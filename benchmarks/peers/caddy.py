"""
Caddy with one Go thread. The chain: a UUID as request id and a JSON access log; it has no rate limit built in.

For HTTP/2 the same, with C{h2c} to clients and to the gRPC backend.
"""

from __future__ import annotations

from benchmarks.peers.base import BARE, CHAIN, HTTP2, Launch, Peer, Spec, fill
from benchmarks.tools import find, first_line

__all__ = ["Caddy"]

# Caddy sets X-Forwarded-For, -Proto and -Host by itself. Its log lines carry the headers: leaving them out costs more.
_CONFIG = """
{
    admin off
    auto_https off
    persist_config off
    grace_period 1s
    log {
        level ERROR
    }
    servers {
        protocols h1@H2C@
    }
}
http://:@PORT@ {
    bind 127.0.0.1
@CHAIN_SITE@
@CALLS@
    @HANDLE@ @PREFIX@/* {
        reverse_proxy @BACKEND@ {
@CHAIN_PROXY@
            transport http {
                keepalive 600s
                keepalive_idle_conns 256
                keepalive_idle_conns_per_host 256
                compression off
            }
        }
    }
}
"""

_CALLS = """
    handle /@GRPC_SERVICE@/* {
        reverse_proxy 127.0.0.1:@GRPC_PORT@ {
@CHAIN_PROXY@
            transport http {
                versions h2c
                keepalive 600s
                compression off
            }
        }
    }
"""

_CHAIN_SITE = """
    log {
        level INFO
        output file @LOG@ {
            roll_disabled
        }
        format json
    }
    log_append request_id {http.request.uuid}
    header X-Request-ID {http.request.uuid}
"""

_CHAIN_PROXY = "            header_up X-Request-ID {http.request.uuid}"


class Caddy(Peer):
    """
    Caddy, from its wheel or from PATH.
    """

    name = "caddy"
    series = (CHAIN, BARE, HTTP2)
    has_limit = False
    limit = "none built in"
    needs = ("caddy",)

    def version(self) -> str:
        return first_line(find("caddy"), "version").split()[0].lstrip("v")

    def configure(self, spec: Spec) -> Launch:
        config = spec.room / "Caddyfile"
        text = _CONFIG.replace("@HANDLE@", "handle_path" if spec.chain else "handle")
        text = text.replace("@H2C@", " h2c" if spec.http2 else "").replace("@CALLS@", _CALLS if spec.http2 else "")
        text = text.replace("@CHAIN_SITE@", _CHAIN_SITE if spec.chain else "")
        text = text.replace("@CHAIN_PROXY@", _CHAIN_PROXY if spec.chain else "")
        config.write_text(fill(text, spec))
        room = str(spec.room)
        environment = {"GOMAXPROCS": "1", "HOME": room, "XDG_DATA_HOME": room, "XDG_CONFIG_HOME": room}
        return Launch((find("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"), environment)

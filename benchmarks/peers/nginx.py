"""
nginx with one worker. The chain: C{limit_req} by address, C{$request_id}, a buffered JSON C{access_log}.

For HTTP/2 the same, with C{listen ... http2} to clients, who then cannot speak HTTP/1.1 (before nginx 1.25), and
C{grpc_pass}, which uses a connection to the backend for one call at a time and then again.
"""

from __future__ import annotations

from benchmarks.backend import as_root
from benchmarks.peers.base import BARE, CHAIN, HTTP2, Launch, Peer, Spec, fill
from benchmarks.tools import find, first_line

__all__ = ["Nginx"]

# Bodies stream both ways: with the defaults an upload, and a download that the client reads slowly, pass through
# temporary files.
_CONFIG = """
worker_processes 1;
daemon off;
pid @ROOM@/nginx.pid;
error_log stderr warn;
@USER@
events { worker_connections 8192; }
http {
    client_body_temp_path @ROOM@/body;
    proxy_temp_path @ROOM@/proxy;
    fastcgi_temp_path @ROOM@/fastcgi;
    uwsgi_temp_path @ROOM@/uwsgi;
    scgi_temp_path @ROOM@/scgi;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    upstream bench {
        server @BACKEND@;
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }
@CALLS_HTTP@
@CHAIN_HTTP@
    server {
        listen 127.0.0.1:@PORT@ backlog=4096@HTTP2@;
@CALLS@
        location @PREFIX@/ {
            proxy_pass http://bench@STRIP@;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_request_buffering off;
            proxy_buffers 16 16k;
            client_body_buffer_size 128k;
            proxy_max_temp_file_size 0;
@CHAIN_LOCATION@
        }
    }
}
"""

_CALLS_HTTP = """
    upstream calls {
        server 127.0.0.1:@GRPC_PORT@;
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }
"""

_CALLS = """
        location /@GRPC_SERVICE@/ {
            grpc_pass grpc://calls;
            grpc_set_header Host $http_host;
            grpc_buffer_size 16k;
@CHAIN_CALLS@
        }
"""

_CHAIN_HTTP = """
    log_format chain escape=json '{"time":"$time_iso8601","request_id":"$request_id","client":"$remote_addr",'
        '"method":"$request_method","path":"$request_uri","status":$status,"bytes_in":$request_length,'
        '"bytes_out":$bytes_sent,"duration":$request_time,"ttfb":"$upstream_header_time",'
        '"service":"$proxy_host","instance":"$upstream_addr"}';
    access_log @LOG@ chain buffer=64k flush=1s;
    limit_req_zone $binary_remote_addr zone=clients:10m rate=@LIMIT@r/s;
    limit_req_status 429;
"""

_CHAIN_LOCATION = """
            limit_req zone=clients burst=@LIMIT@ nodelay;
            add_header X-Request-ID $request_id always;
            proxy_set_header X-Request-ID $request_id;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
"""
_CHAIN_CALLS = _CHAIN_LOCATION.replace("proxy_set_header", "grpc_set_header")


class Nginx(Peer):
    """
    nginx.
    """

    name = "nginx"
    series = (CHAIN, BARE, HTTP2)
    limit = "limit_req on $binary_remote_addr"
    needs = ("nginx",)

    def version(self) -> str:
        return first_line(find("nginx"), "-v").rpartition("/")[2]

    def configure(self, spec: Spec) -> Launch:
        config = spec.room / "nginx.conf"
        text = _CONFIG.replace("@USER@", as_root()).replace("@STRIP@", "/" if spec.chain else "")
        text = text.replace("@HTTP2@", " http2" if spec.http2 else "")
        text = text.replace("@CALLS_HTTP@", _CALLS_HTTP if spec.http2 else "")
        text = text.replace("@CALLS@", _CALLS.replace("@CHAIN_CALLS@", _CHAIN_CALLS) if spec.http2 else "")
        text = text.replace("@CHAIN_HTTP@", _CHAIN_HTTP if spec.chain else "    access_log off;")
        text = text.replace("@CHAIN_LOCATION@", _CHAIN_LOCATION if spec.chain else "")
        config.write_text(fill(text, spec))
        return Launch((find("nginx"), "-p", str(spec.room), "-c", str(config), "-e", "stderr"))

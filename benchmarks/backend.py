"""
The backends that every proxy talks to: one nginx that answers from memory, so that it is not what is measured, and for
gRPC one of ours (L{benchmarks.http2.backend}).

Each answer is served under its own path and under the gateway's C{/services/bench} prefix too, because a bare relay
does not strip the prefix.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.processes import Process, Processes, free_port
from benchmarks.tools import find, python_path

__all__ = ["LARGE", "MEDIUM", "PREFIX", "SMALL", "Backend", "GrpcBackend", "as_root"]

PREFIX = "/services/bench"
SMALL = b'{"status":"ok","message":"a small answer of the kind that most calls to a service get back"}'
MEDIUM = 16 * 1024
LARGE = 1024 * 1024

_CONFIG = """
worker_processes 1;
daemon off;
pid @ROOM@/nginx.pid;
error_log stderr warn;
@USER@
events { worker_connections 8192; multi_accept on; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    open_file_cache max=16 inactive=600s;
    open_file_cache_valid 600s;
    client_body_temp_path @ROOM@/body;
    proxy_temp_path @ROOM@/proxy;
    fastcgi_temp_path @ROOM@/fastcgi;
    uwsgi_temp_path @ROOM@/uwsgi;
    scgi_temp_path @ROOM@/scgi;
    # The body of an upload is taken whole into memory before the empty request to the sink is made; its answer tells
    # how many bytes there were. A plain "return" would answer at the head and let a proxy skip the body.
    upstream sink { server 127.0.0.1:@SINK@; keepalive 64; keepalive_requests 1000000000; keepalive_timeout 600s; }
    server { listen 127.0.0.1:@SINK@; location / { return 204; } }
    server {
        listen 127.0.0.1:@PORT@ backlog=4096;
@LOCATIONS@
    }
}
"""

_LOCATIONS = """
        location @PREFIX@/small { default_type application/json; return 200 '@SMALL@'; }
        location @PREFIX@/files/ { alias @ROOM@/files/; default_type application/octet-stream; }
        location @PREFIX@/upload {
            client_max_body_size 8m;
            client_body_buffer_size 1100k;
            proxy_pass http://sink/;
            proxy_http_version 1.1;
            proxy_method GET;
            proxy_pass_request_body off;
            proxy_pass_request_headers off;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            add_header X-Received $request_length always;
        }
        location @PREFIX@/echo {
            default_type application/json;
            return 200 '{"uri":"$request_uri","x-request-id":"$http_x_request_id","x-forwarded-for":"$http_x_forwarded_for","x-forwarded-proto":"$http_x_forwarded_proto","x-forwarded-host":"$http_x_forwarded_host","x-user-id":"$http_x_user_id","authorization":"$http_authorization","connection":"$connection"}';
        }
"""  # noqa: E501


def as_root() -> str:
    """
    nginx started by root hands its workers to a user that cannot read our private directories: keep them root.
    """
    return "user root;" if os.geteuid() == 0 else ""


class Backend:
    """
    The running nginx.
    """

    def __init__(self, processes: Processes, core: int, room: Path) -> None:
        self.port = free_port()
        self._write_files(room / "files")
        config = room / "nginx.conf"
        config.write_text(self._config(room))
        argv = [find("nginx"), "-p", str(room), "-c", str(config), "-e", "stderr"]
        self.process: Process = processes.start("backend", argv, core, room)
        self.process.wait_listening(self.port)

    def _config(self, room: Path) -> str:
        locations = "".join(_LOCATIONS.replace("@PREFIX@", prefix) for prefix in ("", PREFIX))
        values = {"PORT": str(self.port), "SINK": str(free_port()), "SMALL": SMALL.decode(), "USER": as_root()}
        text = _CONFIG.replace("@LOCATIONS@", locations).replace("@ROOM@", str(room))
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        return text

    def _write_files(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        pattern = bytes(range(256))
        (directory / "16k").write_bytes(pattern * (MEDIUM // 256))
        (directory / "1m").write_bytes(pattern * (LARGE // 256))


class GrpcBackend:
    """
    The running gRPC backend.
    """

    def __init__(self, processes: Processes, core: int, room: Path) -> None:
        self.port = free_port()
        argv = [sys.executable, "-m", "benchmarks.http2.backend", str(self.port)]
        self.process: Process = processes.start("gRPC backend", argv, core, room, {"PYTHONPATH": python_path()})
        self.process.wait_listening(self.port)

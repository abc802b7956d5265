"""
Gateways that clients reach over TLS, and instances that gateways do.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import shutil
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from siger.config.settings.tls import CertificateFiles
from tests.integration.curl import Reply, curl, program
from tests.integration.free_port import free_port
from tests.integration.recording_backend import Connection, RecordingBackend
from tests.tls.certificates import Authority, Issued

__all__ = ["Certificates", "SecureBackend", "SecureClient", "certificates", "openssl", "secure_curl"]


class Certificates:
    """
    A directory of certificates, signed by somebody whom clients trust.

    @ivar ca: the path of that one's own certificate.
    """

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="siger-test-"))
        self.authority = Authority()
        self.ca = str(self.directory / "ca.pem")
        Path(self.ca).write_bytes(self.authority.certificate)

    def make(self, *names: str, file: str = "", authority: Authority | None = None, **times: int) -> CertificateFiles:
        """
        Write a certificate for these names, in place of an older one.

        @param file: the name of its files; by default the first of C{names}.
        """
        issued: Issued = (authority or self.authority).issue(*names, **times)
        return issued.write(self.directory, file or names[0])

    def section(self, *pairs: CertificateFiles, **more: Any) -> dict[str, Any]:
        """
        What C{tls} says in the configuration, with a port that is free.
        """
        listed = [{"certificate": pair.certificate, "key": pair.key} for pair in pairs]
        return {"port": f"127.0.0.1:{free_port()}", "certificates": listed, **more}

    def context(self, *protocols: str) -> ssl.SSLContext:
        """
        What a client has that trusts them.
        """
        context = ssl.create_default_context(cafile=self.ca)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def remove(self) -> None:
        """
        Clean up.
        """
        shutil.rmtree(self.directory)


@functools.cache
def certificates() -> Certificates:
    """
    Those that many tests share: C{a.example}, and C{b.example} with all below.
    """
    made = Certificates()
    atexit.register(made.remove)
    return made


class SecureClient:
    """
    A client on one connection, which reads to the end that was announced and takes no other for it.
    """

    def __init__(self, port: int, context: ssl.SSLContext, name: str = "a.example") -> None:
        connected = socket.create_connection(("127.0.0.1", port), timeout=30)
        try:
            self.socket = context.wrap_socket(connected, server_hostname=name, suppress_ragged_eofs=False)
        except Exception:
            connected.close()
            raise

    def ask(self, path: str, host: str = "a.example", lines: str = "") -> tuple[int, bytes]:
        """
        GET something.

        @return: status and body.
        """
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode())
        return self.answer()

    def answer(self) -> tuple[int, bytes]:
        """
        Read one response that has a C{Content-Length}.
        """
        received = bytearray()
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        while len(body) < length:
            body += self._more()
        return int(head.split()[1]), bytes(body)

    def _more(self) -> bytes:
        received = self.socket.recv(65536)
        if not received:
            raise EOFError("the gateway ended the connection")
        return received

    @property
    def serial(self) -> object:
        """
        That of the certificate which the gateway has shown.
        """
        certificate = self.socket.getpeercert()
        assert certificate is not None
        return certificate["serialNumber"]

    def close(self) -> None:
        """
        Be gone.
        """
        self.socket.close()


class SecureBackend(RecordingBackend):
    """
    A backend that is reached over TLS.
    """

    def __init__(self, pair: CertificateFiles, protocols: tuple[str, ...] = (), ca: str = "") -> None:
        """
        @param protocols: what it offers by ALPN.
        @param ca: who has to have signed the gateway's certificate, if it has to have one.
        """
        super().__init__()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair.certificate, pair.key)
        if protocols:
            self.context.set_alpn_protocols(protocols)
        if ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(ca)

    async def start(self, port: int = 0) -> SecureBackend:
        """
        Listen, on a free port by default.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", port, ssl=self.context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self


def openssl(port: int, *arguments: str, say: str = "") -> str:
    """
    Connect with C{openssl s_client}.

    @param say: what is sent.
    @return: all that it printed.
    """
    command = [program("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", certificates().ca]
    done = subprocess.run([*command, *arguments], input=say.encode(), capture_output=True, timeout=30)
    return (done.stdout + done.stderr).decode("latin-1")


def secure_curl(port: int, path: str, *arguments: str, name: str = "a.example", body: bytes | None = None) -> Reply:
    """
    Ask with curl, which verifies whom it asks.
    """
    there = ("--cacert", certificates().ca, "--resolve", f"{name}:{port}:127.0.0.1")
    return curl(f"https://{name}:{port}{path}", *there, *arguments, body=body)

"""
The embedded nats-server, with the real program.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import nats
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from siger.messaging.embedded import EmbeddedServer, EmbeddedServerError, client_url
from tests.integration.gateway_process import GatewayProcess, echo_config

T = TypeVar("T")

_GATEWAY = """
import signal, sys
from pathlib import Path
from siger.reactor import install
install()
from twisted.internet import reactor
from siger.messaging.embedded import EmbeddedServer
server = EmbeddedServer(reactor, Path(sys.argv[1]))
# As a gateway that has long to drain.
reactor.callWhenRunning(signal.signal, signal.SIGINT, signal.SIG_IGN)
reactor.callWhenRunning(lambda: server.start().addCallback(lambda url: print(url, flush=True)))
reactor.run()
"""


def on_loop(work: Coroutine[Any, Any, T]) -> Deferred[T]:
    """
    Run what is written for asyncio on the reactor's loop.
    """
    return Deferred.fromFuture(asyncio.ensure_future(work, loop=asyncio.get_event_loop_policy().get_event_loop()))


async def with_bucket(url: str, use: Callable[[Any], Awaitable[T]]) -> T:
    """
    Connect, take the bucket of this test, and leave.
    """
    client = await nats.connect(url, allow_reconnect=False, connect_timeout=5)
    try:
        jetstream = client.jetstream()
        try:
            bucket = await jetstream.key_value("kept")
        except NotFoundError:
            bucket = await jetstream.create_key_value(bucket="kept")
        return await use(bucket)
    finally:
        await client.close()


async def put(url: str, key: str) -> None:
    """
    Store a value.
    """
    await on_loop(with_bucket(url, lambda bucket: bucket.put(key, b"value of " + key.encode())))


async def get(url: str, key: str) -> bytes:
    """
    Read it.
    """
    entry = await on_loop(with_bucket(url, lambda bucket: bucket.get(key)))
    return bytes(entry.value)


async def refusal(url: str) -> str:
    """
    Connect to where a server listens that must not let us in.

    @return: what it says about it.
    """

    async def connect() -> str:
        said: list[str] = []

        async def remember(error: Exception) -> None:
            said.append(str(error))

        try:
            client = await nats.connect(url, allow_reconnect=False, connect_timeout=5, error_cb=remember)
        except NatsError as error:
            return f"{error} {said}"
        await client.close()
        return ""

    return await on_loop(connect())


def listen_on(port: int) -> socket.socket:
    """
    Listen on a port whose owner is just dying.
    """
    for _ in range(200):
        taken = socket.socket()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", port))
            taken.listen()
        except OSError:
            taken.close()
            time.sleep(0.01)
        else:
            return taken
    raise AssertionError(f"port {port} does not become free")


def is_nats_server(pid: int) -> bool:
    """
    Whether a process runs that is a nats-server.
    """
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"nats-server" in command  # empty for one that has ended and was not collected


def server_over(path: Path) -> int:
    """
    The server that has a directory's lock open.
    """
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and is_nats_server(int(process.name)):
            with contextlib.suppress(OSError):
                if os.readlink(process / "fd" / "3") == str(path / "lock"):
                    return int(process.name)
    raise AssertionError("no nats-server runs here")


class EmbeddedServerTests(TestCase):
    """
    A server that is started by the reactor of these tests.
    """

    timeout = 60

    def setUp(self) -> None:
        """
        A directory. Its name is short: trial's are long, and this is as it is in practice.
        """
        temporary = tempfile.TemporaryDirectory(prefix="siger-embedded-")
        self.addCleanup(temporary.cleanup)
        self.path = Path(temporary.name) / "data" / "nats"
        self.server = self.make()

    def make(self) -> EmbeddedServer:
        """
        A server over the directory, not started.
        """
        server = EmbeddedServer(reactor, self.path)
        self.addCleanup(server.stop)
        return server

    async def until(self, true: Callable[[], bool]) -> None:
        """
        Look again and again; the test's own time limit ends it.
        """
        while not true():
            await deferLater(reactor, 0.02)

    async def restarted(self) -> str:
        """
        Kill the server, and wait until it is there again.
        """
        before = self.server.restarts
        os.kill(server_over(self.path), signal.SIGKILL)
        await self.until(lambda: self.server.restarts > before and self.server.describe() == "running")
        return self.server.url

    async def test_credentials(self) -> None:
        """
        Whoever has the URL gets in. Without the password, or with another one, nobody does.
        """
        url = await self.server.start()
        await put(url, "a")
        self.assertEqual(await get(url, "a"), b"value of a")
        address = url.partition("@")[2]
        for other in (address, f"siger@{address}", f"siger:guess@{address}", f"admin:{url[13:56]}@{address}"):
            self.assertIn("authorization violation", (await refusal(f"nats://{other}")).lower(), other)

    async def test_files(self) -> None:
        """
        Row K9: what is acknowledged is on disk, as the server is told to. The store, the configuration and the URL are
        for their owner alone.
        """
        url = await self.server.start()
        await put(url, "a")
        self.assertIn("sync_interval: always", (self.path / "server.conf").read_text())
        self.assertEqual(client_url(self.path), url)
        self.assertTrue(any((self.path / "jetstream").rglob("*.blk")))
        for file in (self.path, *self.path.rglob("*")):
            if file.is_dir():
                self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o700, file)
        for name in ("server.conf", "url", "lock"):
            self.assertEqual(stat.S_IMODE((self.path / name).stat().st_mode), 0o600, name)

    async def test_killed(self) -> None:
        """
        Row K9: a server that is killed comes back on the same port, with all that it had acknowledged, and with another
        password.
        """
        first = await self.server.start()
        for number in range(20):
            await put(first, f"key{number}")
        url = await self.restarted()
        self.assertEqual(url.rpartition(":")[2], first.rpartition(":")[2])
        self.assertEqual(client_url(self.path), url)
        self.assertEqual([await get(url, f"key{n}") for n in range(20)], [b"value of key%d" % n for n in range(20)])
        self.assertIn("authorization violation", (await refusal(first)).lower())

    async def test_gateway_restarted(self) -> None:
        """
        What was stored is there after a stop and a start of the gateway.
        """
        await put(await self.server.start(), "a")
        await self.server.stop()
        self.assertIs(client_url(self.path), None)
        self.assertEqual(await get(await self.make().start(), "a"), b"value of a")

    async def test_port_taken(self) -> None:
        """
        A server whose port somebody took while it was down comes back on another one, with all that it had.
        """
        first = await self.server.start()
        await put(first, "a")
        os.kill(server_over(self.path), signal.SIGKILL)
        other = listen_on(int(first.rpartition(":")[2]))  # before the reactor hears of the end
        self.addCleanup(other.close)
        await self.until(lambda: self.server.restarts > 1 and self.server.describe() == "running")
        self.assertNotEqual(self.server.url.rpartition(":")[2], first.rpartition(":")[2])
        self.assertEqual(client_url(self.path), self.server.url)
        self.assertEqual(await get(self.server.url, "a"), b"value of a")

    async def test_second_gateway(self) -> None:
        """
        A second gateway over the same data is refused, and the first goes on.
        """
        url = await self.server.start()
        second = self.make()
        error = await self.assertFailure(second.start(), EmbeddedServerError)
        self.assertIn(f"it is in use by process {os.getpid()}", str(error))
        await put(url, "a")

    async def test_stop(self) -> None:
        """
        When it has stopped, the process has gone.
        """
        url = await self.server.start()
        pid = server_over(self.path)
        await self.server.stop()
        self.assertFalse(is_nats_server(pid))
        with socket.socket() as client:
            self.assertRaises(ConnectionRefusedError, client.connect, ("127.0.0.1", int(url.rpartition(":")[2])))


class GatewayProcessTests(TestCase):
    """
    A server in the care of another process.
    """

    def setUp(self) -> None:
        """
        That process, in a session of its own as at a terminal, and its server.
        """
        temporary = tempfile.TemporaryDirectory(prefix="siger-embedded-")
        self.addCleanup(temporary.cleanup)
        self.path = Path(temporary.name) / "nats"
        self.gateway, self.url = self.launch()
        self.server = server_over(self.path)

    def launch(self) -> tuple[subprocess.Popen[str], str]:
        """
        Start a process with a server over the directory.

        @return: it, and the server's URL.
        """
        gateway = subprocess.Popen(
            [sys.executable, "-c", _GATEWAY, str(self.path)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.addCleanup(self.end, gateway)
        assert gateway.stdout is not None
        return gateway, gateway.stdout.readline().strip()

    def end(self, gateway: subprocess.Popen[str]) -> None:
        """
        End it in any case.
        """
        gateway.kill()
        gateway.wait(10)
        assert gateway.stdout is not None
        gateway.stdout.close()

    async def gone(self) -> None:
        """
        Wait for the server's end, five seconds at most.
        """
        for _ in range(250):
            if not is_nats_server(self.server):
                return
            await deferLater(reactor, 0.02)
        os.kill(self.server, signal.SIGKILL)
        self.fail("the server outlived its gateway")

    async def test_gateway_killed(self) -> None:
        """
        When the gateway is killed, its server goes, too; and the next gateway finds everything.
        """
        await put(self.url, "a")
        self.gateway.kill()
        await self.gone()
        # The lock goes with the last of the process, and that is later than its name.
        for _ in range(250):
            if client_url(self.path) is None:
                break
            await deferLater(reactor, 0.02)
        self.assertIs(client_url(self.path), None)
        _, url = self.launch()
        self.assertEqual(await get(url, "a"), b"value of a")

    async def test_follows_at_once(self) -> None:
        """
        A gateway that is started the moment its predecessor is killed gets the directory.
        """
        self.gateway.kill()
        _, url = self.launch()
        self.assertTrue(url.startswith("nats://"))
        self.assertNotEqual(url, self.url)

    async def test_interrupt(self) -> None:
        """
        Ctrl-C at the terminal does not end the server, which the gateway needs until it has drained.
        """
        os.killpg(self.gateway.pid, signal.SIGINT)
        await deferLater(reactor, 0.3)
        await put(self.url, "a")
        self.assertEqual(os.getsid(self.server), self.server)


class GatewayTests(SynchronousTestCase):
    """
    A gateway with C{nats_address: embedded}, as it is launched.
    """

    def setUp(self) -> None:
        """
        A gateway and its server.
        """
        self.gateway = GatewayProcess(echo_config(nats_address="embedded"))
        self.addCleanup(self.gateway.kill)
        self.gateway.start()
        self.path = self.gateway.directory / "data" / "nats"
        self.server = server_over(self.path)

    def register(self, name: str) -> int:
        """
        Make an account.

        @return: the status of the answer.
        """
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.gateway.port}/auth/register",
            json.dumps({"username": name, "password": "correct horse battery"}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def test_killed_server(self) -> None:
        """
        When its server is killed, the gateway has it back within moments, with the accounts. Its log shows no password.
        """
        self.assertEqual(self.register("before"), 201)
        first = client_url(self.path) or ""
        os.kill(self.server, signal.SIGKILL)
        self.gateway.wait_until(lambda: self.register("after") == 201, "connected again", 10)
        self.assertEqual(self.register("before"), 409)
        for url in (first, client_url(self.path) or ""):
            self.assertEqual(len(url[13:56]), 43)
            self.assertNotIn(url[13:56], self.gateway.output())

    def test_terminated(self) -> None:
        """
        When the gateway has stopped, so has its server, in good order.
        """
        self.gateway.signal(signal.SIGTERM)
        self.assertEqual(self.gateway.wait(20), 0)
        self.assertFalse(is_nats_server(self.server))
        self.assertIs(client_url(self.path), None)
        levels = {json.loads(line)["level"] for line in self.gateway.output().splitlines()}
        self.assertFalse(levels & {"error", "critical"}, self.gateway.output())

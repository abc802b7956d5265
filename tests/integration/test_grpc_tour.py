"""
How somebody puts a grpcio service behind the gateway, as the README tells it: command by command, on free ports.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.free_port import free_port
from tests.integration.test_quickstart import CHECKOUT, eventually, listening

CONFIG = """\
port: ":8080"
services:
  greeter:
    instances: ["127.0.0.1:50051", "127.0.0.1:50052"]
    health: {grpc: ""}
routes:
  - {grpc: helloworld.Greeter, service: greeter}
"""
WITH_RULES = CONFIG.replace("service: greeter}", "service: greeter, auth: user, timeouts: {deadline: 30}}")


class TourTests(SynchronousTestCase):
    """
    The tour.
    """

    def setUp(self) -> None:
        """
        Have a directory, and ports for the gateway and two servers.
        """
        self.room = Path(tempfile.mkdtemp(prefix="siger-tour-"))
        self.addCleanup(shutil.rmtree, self.room)
        self.ports = dict(zip(("8080", "50051", "50052"), (free_port() for _ in range(3)), strict=True))
        (self.room / "path" / "twisted").mkdir(parents=True)
        (self.room / "path" / "twisted" / "plugins").symlink_to(CHECKOUT / "twisted_plugins")

    def environ(self) -> dict[str, str]:
        """
        What commands find in their environment.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SIGER_")}
        return {**kept, "PYTHONPATH": f"{CHECKOUT}:{self.room / 'path'}"}

    def command(self, line: str) -> list[str]:
        """
        A command of the tour, for this Python.
        """
        for was, port in self.ports.items():
            line = line.replace(was, str(port))
        line = line.replace("siger/bin/python", sys.executable).replace(
            "siger/bin/siger", f"{sys.executable} -m siger.cli"
        )
        return line.split()

    def write(self, config: str) -> None:
        """
        Write the configuration.
        """
        for was, port in self.ports.items():
            config = config.replace(f":{was}", f":{port}")
        (self.room / "greeter.yaml").write_text(config)

    def launch(self, line: str) -> subprocess.Popen[bytes]:
        """
        Start a command that goes on.
        """
        with (self.room / "output").open("ab") as output:
            process = subprocess.Popen(
                self.command(line), cwd=self.room, env=self.environ(), stdout=output, stderr=output
            )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> int:
        """
        End it as Ctrl-C would.

        @return: its exit status.
        """
        process.terminate()
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(20)

    def launch_gateway(self) -> subprocess.Popen[bytes]:
        """
        Start the gateway, and wait for it.
        """
        gateway = self.launch("siger/bin/siger run --config greeter.yaml")
        self.assertTrue(eventually(lambda: listening(self.ports["8080"])), (self.room / "output").read_text())
        return gateway

    def run_command(self, line: str) -> tuple[int, list[str]]:
        """
        Run a command to its end.

        @return: its exit status, and what it printed.
        """
        done = subprocess.run(
            self.command(line), cwd=self.room, env=self.environ(), capture_output=True, text=True, timeout=30
        )
        return done.returncode, (done.stdout + done.stderr).splitlines()

    def test_tour(self) -> None:
        """
        Two servers that know of no gateway, a file of seven lines, and a client that is given another address: calls
        take turns, streams come, and rules are rules.
        """
        servers = [
            self.launch(f"siger/bin/python -m siger.demo.grpc_greeter --port {port} --name greeter-{number}")
            for number, port in ((1, "50051"), (2, "50052"))
        ]
        for port in ("50051", "50052"):
            self.assertTrue(eventually(lambda port=port: listening(self.ports[port])))
        self.write(CONFIG)
        gateway = self.launch_gateway()
        self.calls()
        self.assertEqual(self.end(servers[1]), 0)
        self.one_left()
        self.assertEqual(self.end(gateway), 0)
        self.write(WITH_RULES)
        gateway = self.launch_gateway()
        self.rules()
        self.assertEqual((self.end(gateway), self.end(servers[0])), (0, 0))

    def calls(self) -> None:
        """
        Calls of one connection are answered by both servers.
        """
        status, lines = self.run_command("siger/bin/python -m siger.demo.grpc_greet localhost:8080 you and me")
        self.assertEqual(status, 0, lines)
        self.assertEqual([line.partition("!")[0] for line in lines], ["Hello, you", "Hello, and", "Hello, me"])
        self.assertEqual({line.partition("! ")[2] for line in lines}, {"This is greeter-1.", "This is greeter-2."})
        status, lines = self.run_command("siger/bin/python -m siger.demo.grpc_greet --stream localhost:8080 you")
        self.assertEqual([line.partition(",")[0] for line in lines], ["Hello", "Bonjour", "Hallo", "Hola", "Ciao"])
        status, lines = self.run_command("siger/bin/python -m siger.demo.grpc_greet localhost:8080 ")
        self.assertEqual(status, 2, lines)

    def one_left(self) -> None:
        """
        When one of the servers has gone, the other has all calls.
        """
        for _ in range(3):
            status, lines = self.run_command("siger/bin/python -m siger.demo.grpc_greet localhost:8080 you again")
            expected = ["Hello, you! This is greeter-1.", "Hello, again! This is greeter-1."]
            self.assertEqual((status, lines), (0, expected))

    def rules(self) -> None:
        """
        A call without a token is refused in gRPC's own terms; with one, it passes.
        """
        status, lines = self.run_command("siger/bin/python -m siger.demo.grpc_greet localhost:8080 you")
        refused = "UNAUTHENTICATED: This needs a token: send it as Authorization: Bearer TOKEN."
        self.assertEqual((status, lines), (1, [refused]))
        status, lines = self.run_command("siger/bin/siger token mint --config greeter.yaml --user-id 7 you")
        self.assertEqual(status, 0, lines)
        call = f"siger/bin/python -m siger.demo.grpc_greet --token {lines[-1]} localhost:8080 you"
        self.assertEqual(self.run_command(call), (0, ["Hello, you! This is greeter-1."]))

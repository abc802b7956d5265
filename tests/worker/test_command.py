"""
Tests of L{siger.worker.command} and L{siger.worker.arguments}.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.worker.arguments import arrange
from siger.worker.command import _devices, _handler, _options, _UsageError, run
from siger.worker.program import Program


class OptionsTests(SynchronousTestCase):
    """
    What a command line comes to.
    """

    def parse(self, *arguments: str) -> argparse.Namespace:
        """
        Parse one.
        """
        parser = argparse.ArgumentParser(allow_abbrev=False)
        arrange(parser)
        return parser.parse_args(arguments)

    def options(self, *arguments: str, **environ: str) -> dict[str, Any]:
        """
        The options of the worker.
        """
        return _options(self.parse(*arguments), environ)

    def test_all(self) -> None:
        """
        Every argument gets to the worker.
        """
        found = self.options(
            *("--nats", "a:1", "--nats", "nats://b:2", "--types", "x, y", "--gpus", "2", "--gpu-type", "L4"),
            *("--concurrency", "3", "--grace", "4", "--drain", "5", "--name", "n", "--nats-user", "u"),
            SIGER_NATS__PASSWORD="p",
        )
        servers = ["nats://a:1", "nats://b:2"]
        expected = {"servers": servers, "user": "u", "password": "p", "token": "", "credentials": ""}
        expected |= {"types": ["x", "y"], "gpus": 2, "gpu_type": "L4", "concurrency": 3, "grace": 4.0, "drain": 5.0}
        expected["name"] = "n"
        self.assertEqual(found, expected)

    def test_config(self) -> None:
        """
        The gateway's configuration says where NATS is, which types there are, the lease and the grace time.
        """
        path = Path(self.mktemp())
        path.write_text("nats_address: h:1,i:2\nnats: {token: t}\njobs: {types: [x], lease: 9, grace: 8}\n")
        found = self.options("-c", str(path))
        self.assertEqual((found["servers"], found["token"]), (["nats://h:1", "nats://i:2"], "t"))
        self.assertEqual((found["types"], found["lease"], found["grace"]), (["x"], 9.0, 8.0))
        self.assertEqual(self.options("-c", str(path), "--grace", "3", "--types", "y")["grace"], 3.0)

    def test_embedded(self) -> None:
        """
        Where the embedded server is, is found out each time.
        """
        directory = Path(self.mktemp())
        path = Path(self.mktemp())
        path.write_text(f"nats_address: embedded\ndata_dir: {directory.absolute()}\n")
        self.assertEqual(list(self.options("-c", str(path))["servers"]()), [])

    def test_wrong(self) -> None:
        """
        What cannot be meant is said in one line, and nothing is started.
        """
        path = Path(self.mktemp())
        path.write_text('nats_address: ""\n')
        nats = ("--nats", "127.0.0.1:1")
        for arguments in (
            nats,
            ("-c", str(path)),
            ("-c", "/nowhere"),
            (*nats, "--types", "a b"),
            (*nats, "--types", "x", "--gpu-type", "any"),
            (*nats, "--types", "x", "--", "/no/such/program"),
            ("--nats", "http://x", "--types", "x"),
        ):
            err = io.StringIO()
            self.assertEqual(run(self.parse(*arguments), {"PATH": "/bin"}, err), 2, arguments)
            self.assertTrue(err.getvalue().startswith("siger worker: "), err.getvalue())

    def test_program(self) -> None:
        """
        Everything after two dashes is the program's.
        """
        arguments = self.parse("--nats", "a", "--types", "x", "--", "sh", "-c", "--grace 7", "--", "x")
        self.assertEqual(arguments.program, ["sh", "-c", "--grace 7", "--", "x"])
        self.assertIsInstance(_handler(arguments, {}), Program)

    def test_devices(self) -> None:
        """
        Jobs get GPUs of those that the worker may use.
        """
        self.assertIsNone(_devices(0, {"CUDA_VISIBLE_DEVICES": "4"}))
        self.assertEqual(_devices(2, {}), ["0", "1"])
        self.assertEqual(_devices(2, {"CUDA_VISIBLE_DEVICES": "4, GPU-x,7"}), ["4", "GPU-x"])
        self.assertRaises(_UsageError, _devices, 2, {"CUDA_VISIBLE_DEVICES": "4"})

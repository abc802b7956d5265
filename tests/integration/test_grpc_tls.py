"""
gRPC over TLS: from clients to the gateway, and from the gateway to servers.
"""

from __future__ import annotations

import atexit
import random
from functools import cache
from pathlib import Path
from typing import Any

import grpc
from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.grpc_plan import SERVICE, Plan
from tests.integration.grpc_world import GrpcServer, ask, connect, outcome, streamed
from tests.integration.tls_world import Certificates, certificates

OK, UNAVAILABLE = 0, 14


@frozen
class World:
    """
    A gateway that is reached over TLS, before a server that is, too.

    @ivar secure: the port for TLS.
    """

    server: GrpcServer
    gateway: GatewayProcess
    secure: int

    def stop(self) -> None:
        """
        Stop both.
        """
        self.gateway.kill()
        self.server.kill()


@cache
def world() -> World:
    """
    The one of these tests.
    """
    known = certificates()
    pair = known.make("grpc.example")
    both = known.directory / "grpc.both.pem"
    both.write_bytes(Path(pair.certificate).read_bytes() + Path(pair.key).read_bytes())
    server = GrpcServer("secure", certificate=both).start()
    tls = known.section(known.make("a.example"))
    instances = [f"127.0.0.1:{server.port}"]
    config = echo_config(
        tls=tls,
        services={
            "interop": {
                "instances": instances,
                "protocol": "h2",
                "tls": {"ca": known.ca, "server_name": "grpc.example"},
            },
            "other": {
                "instances": instances,
                "protocol": "h2",
                "tls": {"ca": known.ca, "server_name": "other.example"},
            },
            "plain": {"instances": instances, "protocol": "h2c"},
        },
        routes=[
            {"grpc": SERVICE, "service": "interop"},
            {"grpc": "siger.interop.v1.Other", "service": "other"},
            {"grpc": "siger.interop.v1.Plain", "service": "plain"},
        ],
    )
    made = World(server, GatewayProcess(config), int(tls["port"].rpartition(":")[2]))
    atexit.register(made.stop)
    made.gateway.start()
    return made


class TlsTests(SynchronousTestCase):
    """
    Clients and servers that speak gRPC over nothing but TLS.
    """

    def connect(self, authority: str, name: str = "a.example") -> Any:
        """
        A channel that believes in this authority.
        """
        credentials = grpc.ssl_channel_credentials(Path(authority).read_bytes())
        channel = connect(world().secure, credentials, ("grpc.ssl_target_name_override", name))
        self.addCleanup(channel.close)
        return channel

    def test_both_sides(self) -> None:
        """
        Calls of all kinds pass, TLS on both sides of the gateway.
        """
        channel = self.connect(certificates().ca)
        message = random.Random(5).randbytes(3 << 20)
        self.assertEqual(ask(channel, message, "Unary").messages, [message])
        got = outcome(streamed(channel, [Plan(sizes=[size]).encode(size) for size in (100, 70_000)]))
        self.assertEqual((got.code, [len(one) for one in got.messages]), (OK, [100, 70_000]))
        self.assertEqual(got.values("x-server"), ["secure"])
        got = ask(channel, Plan(code=5, message="not here"))
        self.assertEqual((got.code, got.details), (5, "not here"))

    def test_from_plain(self) -> None:
        """
        A client without TLS reaches a server with it.
        """
        channel = connect(world().gateway.port)
        self.addCleanup(channel.close)
        self.assertEqual(ask(channel, b"x", "Unary").messages, [b"x"])

    def test_gateway_not_trusted(self) -> None:
        """
        A client does not believe a gateway whose certificate is somebody else's.
        """
        stranger = Certificates()
        self.addCleanup(stranger.remove)
        self.assertEqual(ask(self.connect(stranger.ca), b"x", "Unary", timeout=5).code, UNAVAILABLE)
        self.assertEqual(ask(self.connect(certificates().ca, "b.example"), b"x", "Unary", timeout=5).code, UNAVAILABLE)

    def test_server_not_trusted(self) -> None:
        """
        Nor does the gateway believe a server with another name, or one that speaks TLS where it should not: calls are
        UNAVAILABLE.
        """
        channel = self.connect(certificates().ca)
        for service in ("/siger.interop.v1.Other", "/siger.interop.v1.Plain"):
            got = ask(channel, b"x", "Unary", service)
            self.assertEqual((got.code, got.messages), (UNAVAILABLE, []), service)

"""
C{siger user} and C{siger token} beside running gateways, and without any.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp
import yaml
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.integration.accounts_world import ADMIN, PASSWORD, Api, new_name, shared_world, siger
from tests.integration.free_port import free_port
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.loop_thread import in_loop

REPOSITORY = Path(__file__).parent.parent.parent


class RunningGatewaysTests(TestCase):
    """
    Commands that change what two running gateways do.
    """

    def setUp(self) -> None:
        """
        Have two gateways.
        """
        self.world = shared_world()

    async def siger(self, *arguments: str, typed: str = "") -> str:
        """
        Run a command that is to succeed.

        @return: what it printed.
        """
        done = await asyncio.to_thread(siger, *arguments, "--config", self.world.config, typed=typed)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    async def tokens(self, apis: list[Api], name: str) -> list[str]:
        """
        A token of each gateway, which both have verified.
        """
        tokens = [await api.token(name) for api in apis]
        for api in apis:
            for token in tokens:
                self.assertEqual((await api.profile(token)).status, 200)
        return tokens

    async def assert_refused(self, apis: list[Api], tokens: list[str]) -> None:
        """
        All gateways refuse these tokens, within a second.
        """
        times = await asyncio.gather(*(api.refused_after(token) for api in apis for token in tokens))
        self.assertLess(max(times), 1)

    @in_loop
    async def test_add(self) -> None:
        """
        An account that a command made can log in at every gateway at once, in the role it was given.
        """
        name = new_name()
        said = await self.siger("user", "add", name, "--role", "admin", "--password-stdin", typed=PASSWORD + "\n")
        self.assertRegex(said, rf"^user {name} added as admin, with id [0-9a-f]{{32}}\n$")
        async with aiohttp.ClientSession() as session:
            for api in self.world.apis(session):
                self.assertEqual((await api.login(name)).document["role"], "admin")

    @in_loop
    async def test_disable_and_enable(self) -> None:
        """
        Row H8: the tokens of a disabled account are refused by every gateway within a second, and nobody logs in; once
        it is enabled the password is good again, the old tokens are not.
        """
        name = new_name()
        async with aiohttp.ClientSession() as session:
            apis = self.world.apis(session)
            await apis[0].register(name)
            tokens = await self.tokens(apis, name)
            said = await self.siger("user", "disable", name)
            self.assertEqual(said, f"user {name} is disabled; earlier tokens are good no longer\n")
            await self.assert_refused(apis, tokens)
            for api in apis:
                self.assertEqual((await api.login(name)).reason, "invalid_credentials")
            await self.siger("user", "enable", name)
            fresh = [await api.token(name) for api in apis]
            for api in apis:
                self.assertEqual([(await api.profile(token)).status for token in fresh], [200, 200])
            await self.assert_refused(apis, tokens)

    @in_loop
    async def test_passwd(self) -> None:
        """
        Row H8: with a new password the tokens of before are refused by every gateway within a second, and so is the
        password.
        """
        name = new_name()
        async with aiohttp.ClientSession() as session:
            apis = self.world.apis(session)
            await apis[0].register(name)
            tokens = await self.tokens(apis, name)
            await self.siger("user", "passwd", name, "--password-stdin", typed="another " + PASSWORD)
            await self.assert_refused(apis, tokens)
            for api in apis:
                self.assertEqual((await api.login(name)).status, 401)
                fresh = await api.token(name, "another " + PASSWORD)
                self.assertEqual((await api.profile(fresh)).status, 200)

    @in_loop
    async def test_role(self) -> None:
        """
        Row H8: another role holds at once: the tokens of before, which name the old one, are refused.
        """
        name = new_name()
        async with aiohttp.ClientSession() as session:
            apis = self.world.apis(session)
            await self.siger("user", "add", name, "--role=admin", "--password-stdin", typed=PASSWORD)
            tokens = await self.tokens(apis, name)
            self.assertEqual((await apis[1].call("GET", "/admin", token=tokens[0])).status, 200)
            await self.siger("user", "role", name, "user")
            await self.assert_refused(apis, tokens)
            for api in apis:
                self.assertEqual((await api.call("GET", "/admin", token=await api.token(name))).status, 403)

    @in_loop
    async def test_delete(self) -> None:
        """
        Row H8: the tokens of a deleted account are refused by every gateway within a second; whoever takes the name
        next is somebody else.
        """
        name = new_name()
        async with aiohttp.ClientSession() as session:
            apis = self.world.apis(session)
            first = (await apis[0].register(name)).document["user_id"]
            tokens = await self.tokens(apis, name)
            await self.siger("user", "delete", name)
            await self.assert_refused(apis, tokens)
            self.assertEqual((await apis[1].login(name)).status, 401)
            self.assertNotEqual((await apis[1].register(name)).document["user_id"], first)
            await self.assert_refused(apis, tokens)
            self.assertEqual((await apis[0].profile(await apis[0].token(name))).status, 200)

    @in_loop
    async def test_list(self) -> None:
        """
        All accounts are listed, without their hashes.
        """
        listed = json.loads(await self.siger("user", "list", "--json"))
        root = next(user for user in listed if user["username"] == ADMIN["username"])
        self.assertEqual((root["id"], root["role"], root["disabled"]), ("1", "admin", False))
        self.assertEqual(sorted(root), ["created_at", "disabled", "id", "role", "updated_at", "username"])
        table = (await self.siger("user", "list")).splitlines()
        self.assertEqual(table[0].split(), ["NAME", "ID", "ROLE", "STATE", "CREATED"])
        self.assertIn(["root", "1", "admin", "active", root["created_at"]], [line.split() for line in table])

    @in_loop
    async def test_mint(self) -> None:
        """
        Minted tokens are good at every gateway: for an account, and for somebody who has none.
        """
        of_account = await self.siger("token", "mint", ADMIN["username"], "--minutes", "2")
        of_nobody = await self.siger("token", "mint", "robot", "--user-id", "robot-7")
        async with aiohttp.ClientSession() as session:
            for api in self.world.apis(session):
                self.assertEqual((await api.call("GET", "/admin", token=of_account.strip())).status, 200)
                profile = await api.profile(of_nobody.strip())
                self.assertEqual(profile.document, {"id": "robot-7", "username": "robot", "role": "user"})
        self.assertIn("good here   yes", await self.siger("token", "inspect", typed=of_account))

    @in_loop
    async def test_store_away(self) -> None:
        """
        When NATS is away a command says so, and ends.
        """
        config = Path(self.mktemp()).absolute()
        config.write_text(yaml.safe_dump(echo_config(1, nats_address=f"127.0.0.1:{free_port()}")))
        done = await asyncio.to_thread(siger, "user", "list", "-c", str(config))
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, "the store of accounts does not answer: NATS is connecting\n")


class EmbeddedTests(SynchronousTestCase):
    """
    Commands where NATS is the gateway's own.
    """

    def setUp(self) -> None:
        """
        Have a configuration, and nothing that runs.
        """
        self.gateway = GatewayProcess(echo_config(1, nats_address="embedded"))
        self.addCleanup(self.gateway.kill)
        self.config = str(self.gateway.directory / "config.yaml")

    def write(self) -> None:
        """
        Write the configuration, as the start of the gateway would.
        """
        self.gateway.start()
        self.gateway.signal()
        self.gateway.wait()

    def siger(self, *arguments: str, typed: str = "") -> tuple[int, str]:
        """
        Run a command.

        @return: its status, and what it printed.
        """
        done = siger(*arguments, "-c", self.config, typed=typed)
        return done.returncode, done.stdout + done.stderr

    def names(self) -> list[str]:
        """
        Who has an account.
        """
        status, printed = self.siger("user", "list", "--json")
        self.assertEqual(status, 0, printed)
        return [user["username"] for user in json.loads(printed)]

    def test_with_and_without_a_gateway(self) -> None:
        """
        The first account can be made before the gateway ever has one; while it runs its own server is used, and when
        it has ended that is started for the command, and nothing of it is left.
        """
        self.write()
        self.assertEqual(self.siger("user", "add", "first", "--password-stdin", typed=PASSWORD)[0], 0)
        self.gateway.start()
        self.assertEqual(self.siger("user", "add", "second", "--password-stdin", typed=PASSWORD)[0], 0)
        self.gateway.wait_until(lambda: b"siger_users 2.0" in self.gateway.get("/metrics"), "in possession of users")
        self.assertEqual(self.names(), ["first", "second"])
        self.gateway.signal()
        self.assertEqual(self.gateway.wait(), 0)
        self.assertEqual(self.names(), ["first", "second"])
        self.assertEqual(self.servers(), [])

    def servers(self) -> list[str]:
        """
        The command lines of servers over this directory.
        """
        directory = str(self.gateway.directory)
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = entry.read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            if directory in line and "nats-server" in line:
                found.append(line)
        return found


class TerminalTests(SynchronousTestCase):
    """
    Commands as somebody at a terminal uses them.
    """

    def setUp(self) -> None:
        """
        Have a configuration without NATS.
        """
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.config = Path(directory.name) / "config.yaml"
        self.config.write_text(yaml.safe_dump(echo_config(1, data_dir=directory.name)))

    def at_terminal(self, typed: list[str], *arguments: str) -> tuple[int, str]:
        """
        Run a command at a terminal, and answer its questions.

        @return: its status, and what could be seen.
        """
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "siger.cli", *arguments, "-c", str(self.config)]
        process = subprocess.Popen(
            [sys.executable, "-c", _AT_TERMINAL, *command],
            cwd=REPOSITORY,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        seen = b""
        try:
            for line in typed:
                while not seen.endswith(b": "):
                    seen += os.read(ours, 1000)
                os.write(ours, line.encode() + b"\n")
                seen += os.read(ours, 1000)
            while chunk := _rest(ours):
                seen += chunk
            return process.wait(30), seen.decode()
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    def test_asks_twice(self) -> None:
        """
        A password is asked for twice, and never shown.
        """
        status, seen = self.at_terminal(["never shown to anybody", "something else"], "user", "add", "ada")
        self.assertEqual(status, 1)
        self.assertEqual(seen.replace("\r\n", "\n"), "Password of ada: \nThe same again: \nthese are two passwords\n")

    def test_nobody_to_ask(self) -> None:
        """
        Without a terminal, it has to be said that the password comes from a pipe.
        """
        done = siger("user", "add", "ada", "-c", str(self.config), typed=PASSWORD)
        expected = "there is no terminal to ask for the password; use --password-stdin\n"
        self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", expected))

    def test_without_nats(self) -> None:
        """
        Where no NATS is configured there are no accounts, which is said; tokens can be made and looked at all the same.
        """
        done = siger("user", "list", "-c", str(self.config))
        expected = "there are no accounts without NATS: nats_address is empty\n"
        self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", expected))
        minted = siger("token", "mint", "robot", "--user-id", "7", "-c", str(self.config))
        self.assertEqual((minted.returncode, minted.stderr), (0, ""))
        self.assertEqual(siger("token", "inspect", "-c", str(self.config), typed=minted.stdout).returncode, 0)
        self.assertEqual(siger("token", "inspect", minted.stdout[:-9], "-c", str(self.config)).returncode, 1)


_AT_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def _rest(terminal: int) -> bytes:
    """
    What else there is to see; nothing once the other side has gone.
    """
    try:
        return os.read(terminal, 1000)
    except OSError:
        return b""

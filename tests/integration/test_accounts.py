"""
Accounts and tokens with real gateways on a real NATS.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from twisted.trial.unittest import SynchronousTestCase, TestCase

from siger.config.default import write_default
from siger.config.load import ConfigErrors, load
from tests.integration.accounts_world import ADMIN, PASSWORD, Api, new_name, shared_world
from tests.integration.flow_case import play
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.login_storm import storm
from tests.integration.loop_thread import in_loop, run_in_loop
from tests.integration.recording_backend import RecordingBackend
from tests.integration.steady_load import SteadyLoad

REPOSITORY = Path(__file__).parent.parent.parent


class CurlTests(SynchronousTestCase):
    """
    The session that users of the older gateway know, typed as they type it, against the quickstart's configuration.
    """

    def setUp(self) -> None:
        """
        Start a gateway with the quickstart's configuration, on free ports.
        """
        self.backend = run_in_loop(RecordingBackend().start())
        self.addCleanup(lambda: run_in_loop(self.backend.stop()))
        self.backend.scripts[b"/"] = play()
        config: dict[str, Any] = yaml.safe_load((REPOSITORY / "configs" / "quickstart.yaml").read_text())
        for key in ("port", "data_dir", "access_log"):
            del config[key]
        config["services"]["echo"]["instances"] = [f"127.0.0.1:{self.backend.port}"]
        self.gateway = GatewayProcess(config)
        self.addCleanup(self.gateway.kill)
        self.gateway.start()

    def curl(self, arguments: str, **values: str) -> tuple[int, Any]:
        """
        Type a command.

        @param arguments: as for a shell, with C{$NAME} for values.
        @return: the status and the document.
        """
        program = shutil.which("curl")
        assert program is not None, "there is no curl to test with"
        command = arguments.replace("localhost:8080", f"127.0.0.1:{self.gateway.port}")
        done = subprocess.run(
            ["sh", "-c", f"{program} --silent --show-error --max-time 20 --write-out '\\n%{{http_code}}' {command}"],
            env=values,
            capture_output=True,
            text=True,
            timeout=30,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        body, _, status = done.stdout.rpartition("\n")
        with contextlib.suppress(ValueError):
            return int(status), json.loads(body)
        return int(status), body

    def test_session(self) -> None:
        """
        Log in, register, see one's profile, use a service, renew and end a token; and the pages for administrators.
        """
        login = "-X POST http://localhost:8080/auth/login -H 'Content-Type: application/json' -d "
        status, admin = self.curl(login + """'{"username": "admin", "password": "admin123"}'""")
        self.assertEqual((status, admin["user_id"], admin["username"], admin["role"]), (200, "1", "admin", "admin"))
        self.assertRegex(admin["expires_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(sorted(admin), ["expires_at", "role", "token", "user_id", "username"])
        status, user = self.curl(login + """'{"username": "user", "password": "user123"}'""")
        self.assertEqual((status, user["user_id"], user["role"]), (200, "2", "user"))
        status, registered = self.curl(
            "-X POST http://localhost:8080/auth/register -H 'Content-Type: application/json' "
            """-d '{"username": "newuser", "password": "securepassword"}'"""
        )
        self.assertEqual((status, registered["message"]), (201, "User registered successfully"))
        self.assertEqual(sorted(registered), ["message", "user_id"])
        self.assertEqual(self.curl(login + """'{"username": "newuser", "password": "securepassword"}'""")[0], 200)

        bearer = """-H "Authorization: Bearer $TOKEN" """
        profile = self.curl("http://localhost:8080/auth/profile " + bearer, TOKEN=user["token"])
        self.assertEqual(profile, (200, {"id": "2", "username": "user", "role": "user"}))
        self.assertEqual(self.curl("http://localhost:8080/services/echo/x " + bearer, TOKEN=user["token"])[0], 200)
        for path in ("/admin", "/api/v1/admin-stats"):
            self.assertEqual(self.curl(f"http://localhost:8080{path} " + bearer, TOKEN=admin["token"])[0], 200)
            self.assertEqual(self.curl(f"http://localhost:8080{path} " + bearer, TOKEN=user["token"])[0], 403)
            self.assertEqual(self.curl(f"http://localhost:8080{path}")[0], 401)

        status, renewed = self.curl("-X POST http://localhost:8080/auth/refresh " + bearer, TOKEN=user["token"])
        self.assertEqual((status, sorted(renewed)), (200, sorted(user)))
        for token in (user["token"], renewed["token"]):
            status, answer = self.curl("-X POST http://localhost:8080/auth/logout " + bearer, TOKEN=token)
            self.assertEqual((status, answer), (200, {"message": "Logged out successfully"}))
            status, problem = self.curl("http://localhost:8080/auth/profile " + bearer, TOKEN=token)
            self.assertEqual((status, problem["reason"]), (401, "invalid_token"))
        self.check_nothing_readable()
        self.check_restart(login, admin["token"], user["token"])

    def check_nothing_readable(self) -> None:
        """
        Row H15: no password lies anywhere in the data, the logs or the metrics.
        """
        self.assertNotIn(b"admin123", self.gateway.get("/metrics"))
        files = [path for path in self.gateway.directory.rglob("*") if path.is_file() and path.name != "config.yaml"]
        self.assertTrue(any("nats" in path.parts for path in files), files)
        for path in files:
            content = path.read_bytes()
            for password in (b"admin123", b"user123", b"securepassword"):
                self.assertNotIn(password, content, path)

    def check_restart(self, login: str, good: str, ended: str) -> None:
        """
        Rows H8 and H15: accounts and what was revoked outlive a restart; so do tokens.
        """
        self.gateway.signal()
        self.assertEqual(self.gateway.wait(), 0)
        self.gateway.start()
        self.gateway.wait_until(lambda: b"siger_users 3.0" in self.gateway.get("/metrics"), "in possession of users")
        bearer = """-H "Authorization: Bearer $TOKEN" """
        self.assertEqual(self.curl("http://localhost:8080/auth/profile " + bearer, TOKEN=good)[0], 200)
        self.assertEqual(self.curl("http://localhost:8080/auth/profile " + bearer, TOKEN=ended)[0], 401)
        self.assertEqual(self.curl(login + """'{"username": "newuser", "password": "securepassword"}'""")[0], 200)


class FirstStartTests(SynchronousTestCase):
    """
    A gateway that has never run before.
    """

    def test_seeded_when_ready(self) -> None:
        """
        As soon as it says that it is ready, all of the configured users can log in. They are few, as it does not put
        that off for ever.
        """
        seeds = [{"username": f"seed{number}", "password": PASSWORD, "role": "user"} for number in range(3)]
        gateway = GatewayProcess(echo_config(1, nats_address="embedded", seed_users=seeds))
        self.addCleanup(gateway.kill)
        gateway.start()
        body = json.dumps({"username": "seed2", "password": PASSWORD}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}/auth/login", body, timeout=10) as response:
            self.assertEqual(response.status, 200)


class DefaultUserTests(SynchronousTestCase):
    """
    Accounts that everybody knows.
    """

    def test_only_in_the_quickstart(self) -> None:
        """
        Row H15: the published accounts are in the quickstart's configuration, and nowhere in the program but in a
        comment.
        """
        shipped = [*(REPOSITORY / "siger").rglob("*.py"), *(REPOSITORY / "configs").iterdir()]
        having = {
            path.name
            for path in shipped
            for line in path.read_text().splitlines()
            if re.search("admin123|user123", line) and not line.lstrip().startswith("#")
        }
        self.assertEqual(having, {"quickstart.yaml"})

    def test_not_by_default(self) -> None:
        """
        Row H15: the configuration that is written by default makes no accounts.
        """
        path = Path(self.mktemp())
        write_default(path)
        self.assertEqual(load(path, {}).seed_users, ())

    def test_on_loopback_only(self) -> None:
        """
        Row H15: a gateway that others can reach does not start with accounts that everybody knows.
        """
        path = REPOSITORY / "configs" / "quickstart.yaml"
        self.assertEqual(load(path, {}).listen.host, "127.0.0.1")
        self.assertEqual(len(load(path, {}).seed_users), 2)
        for port in (":8080", "0.0.0.0:8080", "192.0.2.1:8080"):
            self.assertRaises(ConfigErrors, load, path, {"SIGER_PORT": port})


class TwoGatewaysTests(TestCase):
    """
    Gateways that share a store.
    """

    def setUp(self) -> None:
        """
        Have two gateways.
        """
        self.world = shared_world()

    def clients(self, **options: Any) -> aiohttp.ClientSession:
        """
        A pool of connections. It is to be closed.
        """
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), **options)

    @in_loop
    async def test_register_here_login_there(self) -> None:
        """
        Whoever registered at one gateway can log in at the other at once, and is known there.
        """
        async with self.clients() as session:
            one, other = self.world.apis(session)
            for _ in range(10):
                name = new_name()
                self.assertEqual((await one.register(name)).status, 201)
                token = await other.token(name)
                profile = await one.profile(token)
                self.assertEqual((profile.status, profile.document["username"]), (200, name))
                self.assertEqual((await other.register(name.upper())).reason, "username_taken")

    @in_loop
    async def test_same_name_at_once(self) -> None:
        """
        When several ask for one name at once, at both gateways, one of them gets it.
        """
        async with self.clients() as session:
            apis = self.world.apis(session)
            for _ in range(3):
                name = new_name()
                replies = await asyncio.gather(*(api.register(name) for api in apis * 4))
                statuses = Counter((reply.status, reply.reason) for reply in replies)
                self.assertEqual(statuses, {(201, ""): 1, (409, "username_taken"): 7})
                (made,) = (reply.document["user_id"] for reply in replies if reply.status == 201)
                for api in apis:
                    self.assertEqual((await api.login(name)).document["user_id"], made)

    @in_loop
    async def test_logout(self) -> None:
        """
        Row H8: a token that was ended at one gateway is refused by the other within a second, though it has verified
        it before; where it was ended it is refused at once.
        """
        async with self.clients() as session:
            one, other = self.world.apis(session)
            name = new_name()
            await one.register(name)
            token, another = await one.token(name), await one.token(name)
            for api in (one, other):
                self.assertEqual((await api.call("GET", "/services/guarded/x", token=token)).status, 200)
            self.assertEqual((await one.call("POST", "/auth/logout", token=token)).status, 200)
            self.assertLess(await other.refused_after(token), 1)
            for api in (one, other):
                self.assertEqual((await api.profile(token)).status, 401)
                refused = await api.call("GET", "/services/guarded/x", token=token)
                self.assertEqual((refused.status, refused.reason), (401, "invalid_token"))
                self.assertEqual((await api.profile(another)).status, 200)

    @in_loop
    async def test_refusals_alike(self) -> None:
        """
        Row H6: whatever is wrong with a token, the refusal is the same but for the request's id, and says how one
        comes in.
        """
        async with self.clients() as session:
            one, _ = self.world.apis(session)
            name = new_name()
            await one.register(name)
            token = await one.token(name)
            await one.call("POST", "/auth/logout", token=token)
            header, claims, signature = token.split(".")
            seen = set()
            for bad in (token, "x", "a.b.c", f"{header}.{claims}.{signature[::-1]}", f"{header}.{claims}.", "x" * 9000):
                reply = await one.profile(bad)
                self.assertEqual(reply.status, 401)
                reply.document.pop("request_id")
                seen.add((json.dumps(reply.document), reply.fields["WWW-Authenticate"]))
            self.assertEqual(len(seen), 1, seen)
            self.assertIn('error="invalid_token"', seen.pop()[1])
            wrong_role = await one.call("GET", "/admin", token=await one.token(name))
            self.assertEqual(wrong_role.status, 403)
            self.assertIn('error="insufficient_scope"', wrong_role.fields["WWW-Authenticate"])

    @in_loop
    async def test_logins_alike(self) -> None:
        """
        Row H11: a wrong password and an unknown name are answered alike; a name that is taken is not told from one
        that is free by a login.
        """
        async with self.clients() as session:
            one, _ = self.world.apis(session)
            name = new_name()
            await one.register(name)
            seen = set()
            for username, password in ((name, "wrong password"), (new_name(), PASSWORD), ("\u00fc", PASSWORD)):
                reply = await one.login(username, password)
                self.assertEqual(reply.status, 401)
                reply.document.pop("request_id")
                fields = {field: reply.fields[field] for field in reply.fields if field not in ("Date", "X-Request-ID")}
                seen.add((json.dumps(reply.document), json.dumps(fields, sort_keys=True)))
            self.assertEqual(len(seen), 1, seen)

    @in_loop
    async def test_nobody_makes_themselves_administrator(self) -> None:
        """
        Row H13: no member of a registration makes an administrator, unless an administrator asks for one.
        """
        async with self.clients() as session:
            one, other = self.world.apis(session)
            name = new_name()
            self.assertEqual((await one.register(name, role="admin")).status, 403)
            for member in ({"id": "1"}, {"is_admin": "true"}, {"Role": "admin"}):
                self.assertEqual((await one.register(name, **member)).status, 400)
            self.assertEqual((await one.login(name)).status, 401)
            root = await one.token(ADMIN["username"], ADMIN["password"])
            self.assertEqual((await one.register(name, root, role="admin")).status, 201)
            self.assertEqual((await other.call("GET", "/admin", token=await other.token(name))).status, 200)

    @in_loop
    async def test_guessing(self) -> None:
        """
        Row H12: who guesses has to wait longer and longer, and is told how long.
        """
        async with self.clients() as session:
            one, _ = self.world.apis(session)
            name = new_name()
            await one.register(name)
            statuses = [(await one.login(name, f"wrong {number}")).status for number in range(8)]
            self.assertEqual(statuses[:5], [401] * 5)
            self.assertIn(429, statuses)
            reply = await one.login(name)
            self.assertEqual((reply.status, reply.reason), (429, "too_many_attempts"))
            self.assertGreaterEqual(int(reply.fields["Retry-After"]), 1)

    @in_loop
    async def test_without_the_store(self) -> None:
        """
        While NATS is away requests are proxied, tokens are verified and users log in; what has to be written is
        refused with 503 and C{Retry-After}, and a token that could not be ended is not said to be. When NATS is back,
        all goes on.
        """
        async with self.clients() as session:
            one, other = self.world.apis(session)
            name = new_name()
            await one.register(name)
            token = await other.token(name)
            await asyncio.to_thread(self.world.nats.kill)
            for api in (one, other):
                self.assertEqual((await api.call("GET", "/services/guarded/x", token=token)).status, 200)
                self.assertEqual((await api.login(name)).status, 200)
                for refused in (await api.register(new_name()), await api.call("POST", "/auth/logout", token=token)):
                    self.assertEqual((refused.status, refused.reason), (503, "store_unavailable"))
                    self.assertIn("Retry-After", refused.fields)
                self.assertEqual((await api.profile(token)).status, 200)
            await asyncio.to_thread(self.world.recover)
            self.assertEqual((await one.register(new_name())).status, 201)
            self.assertEqual((await one.call("POST", "/auth/logout", token=token)).status, 200)
            self.assertLess(await other.refused_after(token), 1)

    @in_loop
    async def test_store_killed_meanwhile(self) -> None:
        """
        NATS is killed and restarted while many register and log in: whoever was told that they have an account has
        one, and whoever was refused was told to come back.
        """
        async with self.clients() as session:
            apis = self.world.apis(session)
            root = await apis[0].token(ADMIN["username"], ADMIN["password"])
            known = new_name()
            await apis[0].register(known)
            stop = asyncio.Event()
            made: list[tuple[float, str]] = []
            failed: list[Any] = []
            logins: Counter[int] = Counter()
            begin = time.monotonic()

            async def register(api: Api) -> None:
                while not stop.is_set():
                    name = new_name()
                    reply = await api.register(name, root)
                    if reply.status == 201:
                        made.append((time.monotonic() - begin, name))
                        await asyncio.sleep(0.02)
                    else:
                        failed.append((reply.status, reply.reason, "Retry-After" in reply.fields))
                        await asyncio.sleep(0.05)

            async def log_in(api: Api) -> None:
                while not stop.is_set():
                    logins[(await api.login(known)).status] += 1
                    await asyncio.sleep(0.05)

            tasks = [asyncio.create_task(work(api)) for api in apis for work in (register, register, log_in)]
            for _ in range(2):
                await asyncio.sleep(0.7)
                await asyncio.to_thread(self.world.nats.kill)
                down = time.monotonic() - begin
                await asyncio.sleep(0.5)
                await asyncio.to_thread(self.world.recover)
            up = time.monotonic() - begin
            await asyncio.sleep(0.7)
            stop.set()
            await asyncio.gather(*tasks)

            self.assertEqual(set(failed), {(503, "store_unavailable", True)})
            self.assertEqual(set(logins), {200}, logins)
            self.assertTrue(any(when < down for when, _ in made), "nobody registered before")
            self.assertTrue(any(when > up for when, _ in made), "nobody registered after")
            print(
                f"\n{len(made)} registered and {len(failed)} refused while NATS was killed twice; {logins[200]} logins"
            )
            self.assertEqual(await self.log_in_all(apis, [name for _, name in made]), [])

    async def log_in_all(self, apis: list[Api], names: list[str]) -> list[str]:
        """
        Log everybody in, at one gateway or the other, not too many at once.

        @return: who could not.
        """
        few = asyncio.Semaphore(8)

        async def log_in(number: int, name: str) -> int:
            async with few:
                return (await apis[number % len(apis)].login(name)).status

        statuses = await asyncio.gather(*(log_in(number, name) for number, name in enumerate(names)))
        return [name for name, status in zip(names, statuses, strict=True) if status != 200]

    def test_many_logins(self) -> None:
        """
        Row H12: a thousand logins at once are answered with a token, a refusal or the advice to come back, and not one
        proxied request fails meanwhile.
        """
        port, name = self.world.gateways[0].port, new_name()
        run_in_loop(self.register(name))
        load = SteadyLoad(port, b"/services/echo/x", clients=10, pause=0.005).start()
        self.addCleanup(load.stop)
        time.sleep(1)
        before = list(load.answers)
        statuses = storm(port, name, PASSWORD, 1000)
        during = list(load.answers)[len(before) :]
        load.stop()
        self.assertEqual(sum(statuses.values()), 1000)
        self.assertLessEqual(set(statuses), {200, 401, 429, 503}, statuses)
        self.assertGreater(statuses[200], 0)
        self.assertGreater(statuses[503], 0)
        self.assertEqual(load.failures, [])
        self.assertGreater(len(during), 0)
        times = [f"{_percentile(answers, 99) * 1000:.1f} ms" for answers in (before, during)]
        print(f"\nlogins: {statuses}; p99 of {len(during)} proxied requests: {times[1]}, before: {times[0]}")

    async def register(self, name: str) -> None:
        """
        Make an account.
        """
        async with self.clients() as session:
            self.assertEqual((await self.world.apis(session)[0].register(name)).status, 201)


def _percentile(answers: list[Any], percent: int) -> float:
    """
    The time that this share of requests took at most.
    """
    times = sorted(answer.came - answer.asked for answer in answers)
    return float(times[min(len(times) - 1, len(times) * percent // 100)])

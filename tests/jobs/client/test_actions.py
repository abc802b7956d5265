"""
Tests of L{siger.jobs.client.actions} and L{siger.jobs.commands}.
"""

from __future__ import annotations

import io
import json
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.cli import Terminal
from siger.jobs.client.actions import Actions
from siger.jobs.client.address import Address
from siger.jobs.client.credentials import CredentialFile, Credentials
from siger.jobs.client.errors import TroubleError
from siger.jobs.client.gateway import Gateway, Tokens
from siger.jobs.commands import arrange_job
from tests.jobs.client.wire import FakeClock, Play, answer, event, problem, stream
from tests.jobs.making import JOB_ID, job

URL = "http://localhost:8080"
QUEUED = {"job_id": JOB_ID, "status": "queued", "timestamp": "x", "message": "Job submitted successfully"}
LOGIN = {"username": "alice", "token": "t0", "expires_at": "1970-01-01T01:00:00Z", "user_id": "1", "role": "user"}
GONE = ConnectionResetError(104, "Connection reset by peer")


class Asking(Terminal):
    """
    A terminal at which somebody types a password.
    """

    def ask_secret(self, prompt: str) -> str:
        """
        Type it.
        """
        self.complain(prompt)
        return "from the terminal"


class ActionsTestCase(SynchronousTestCase):
    """
    Commands against a gateway that is played.
    """

    def setUp(self) -> None:
        """
        Be nobody yet.
        """
        self.config = Path(self.mktemp()).absolute()
        self.file = CredentialFile(self.config / "siger" / "tokens.json")
        self.environ = {"XDG_CONFIG_HOME": str(self.config), "SIGER_TOKEN": "abc", "USER": "me"}
        self.source = ""

    def job(self, play: Play, *arguments: str) -> int:
        """
        Run a command, and keep what it printed.
        """
        parser = ArgumentParser()
        arrange_job(parser)
        self.play = play
        self.out, self.err = io.StringIO(), io.StringIO()
        terminal = Asking(self.environ, self.out, self.err, io.StringIO(self.source))
        return Actions(parser.parse_args(arguments), terminal, self.gateway, lambda: 5.0).run()

    def gateway(self, address: Address, tokens: Tokens, notice: Callable[[str], object]) -> Gateway:
        """
        The gateway.
        """
        self.address = address
        return Gateway(address, tokens, notice, self.play, FakeClock())

    def printed(self) -> tuple[list[str], list[str]]:
        """
        The lines of results, and those of complaints.
        """
        return self.out.getvalue().splitlines(), self.err.getvalue().splitlines()


class LoginTests(ActionsTestCase):
    """
    Tokens.
    """

    def setUp(self) -> None:
        """
        Have none.
        """
        super().setUp()
        del self.environ["SIGER_TOKEN"]

    def test_login(self) -> None:
        """
        A password gets a token, which is kept for its gateway.
        """
        play = Play(answer(LOGIN))
        self.assertEqual(self.job(play, "login", "alice"), 0)
        self.assertEqual(play.lines(0)[0], "POST /auth/login HTTP/1.1")
        self.assertNotIn("Authorization", "".join(play.lines(0)))
        self.assertEqual(play.body(0), {"username": "alice", "password": "from the terminal"})
        self.assertEqual(self.file.read(URL), Credentials("alice", "t0", 5.0, 3600.0))
        self.assertIn("as alice, until 1970-01-01T01:00:00Z", self.out.getvalue())
        self.assertNotIn("t0", self.out.getvalue())

    def test_pipe(self) -> None:
        """
        The password may come from a pipe, and the name is the last one's, or at first the system's.
        """
        self.source = "secret\nmore"
        play = Play(answer(LOGIN))
        self.assertEqual(self.job(play, "login", "--password-stdin"), 0)
        self.assertEqual(play.body(0), {"username": "me", "password": "secret"})
        play = Play(answer(LOGIN))
        self.assertEqual(self.job(play, "login", "--password-stdin"), 0)
        self.assertEqual(play.body(0)["username"], "alice")

    def test_nobody(self) -> None:
        """
        Where there is no name at all, one is asked for.
        """
        del self.environ["USER"]
        with self.assertRaisesRegex(TroubleError, "siger job login NAME"):
            self.job(Play(), "login")

    def test_refused(self) -> None:
        """
        A wrong password changes nothing, and is not tried twice.
        """
        self.file.write(URL, Credentials("alice", "t9", 0, 3600))
        for connection in (problem(401, "invalid_credentials"), problem(503, "busy")):
            with self.assertRaises(TroubleError):
                self.job(Play(connection), "login")
        self.assertEqual(self.file.read(URL), Credentials("alice", "t9", 0, 3600))

    def test_in_the_clear(self) -> None:
        """
        Who sends a password over a network without TLS is warned.
        """
        for url, warned in [("http://gateway.example", True), ("https://gateway.example", False), (URL, False)]:
            self.job(Play(answer(LOGIN)), "--url", url, "login")
            self.assertEqual("warning: everybody on the way" in self.err.getvalue(), warned)

    def test_used(self) -> None:
        """
        The token is used for its gateway, and for no other.
        """
        self.file.write(URL, Credentials("alice", "t0", 0, 3600))
        play = Play(answer(job().public()))
        self.assertEqual(self.job(play, "show", JOB_ID), 0)
        self.assertIn("Authorization: Bearer t0", play.lines(0))
        with self.assertRaisesRegex(TroubleError, "^there is no token for http://other.example"):
            self.job(Play(), "show", JOB_ID, "--url", "http://other.example")

    def test_precedence(self) -> None:
        """
        What is on the command line counts before the environment, and that before what is kept.
        """
        self.file.write("http://a", Credentials("alice", "kept", 0, 3600))
        self.environ |= {"SIGER_URL": "http://a"}
        for environ, arguments, url, token in [
            ({}, (), "http://a", "kept"),
            ({"SIGER_TOKEN": "b\n"}, (), "http://a", "b"),
            ({"SIGER_TOKEN": "b"}, ("--token", "c", "--url", "http://d"), "http://d", "c"),
        ]:
            self.environ |= environ
            play = Play(answer(job().public()))
            self.job(play, *arguments, "show", JOB_ID)
            self.assertEqual((str(self.address), f"Authorization: Bearer {token}" in play.lines(0)), (url, True))

    def test_logout(self) -> None:
        """
        Logging out ends the token there and here; one that has ended there already only here.
        """
        for connection in (answer({}), problem(401, "invalid_token")):
            self.file.write(URL, Credentials("alice", "t0", 0, 1))
            play = Play(connection)
            self.assertEqual(self.job(play, "logout"), 0)
            self.assertEqual((play.first_lines(), self.file.read(URL)), (["POST /auth/logout"], None))
            self.assertIn("Authorization: Bearer t0", play.lines(0))
        self.assertEqual(self.job(Play(), "logout"), 0)

    def test_not_logged_out(self) -> None:
        """
        A token that could not be ended is kept, so that it can be tried again.
        """
        self.file.write(URL, Credentials("alice", "t0", 0, 1))
        with self.assertRaises(TroubleError):
            self.job(Play(problem(503, "store_unavailable")), "logout")
        self.assertIsNotNone(self.file.read(URL))


class SubmitTests(ActionsTestCase):
    """
    C{siger job submit}.
    """

    def test_submit(self) -> None:
        """
        It prints the id and nothing else.
        """
        play = Play(answer(QUEUED, 202))
        self.assertEqual(self.job(play, "submit", "--type", "inference", "--name", "x"), 0)
        self.assertEqual(self.printed(), ([JOB_ID], []))
        self.assertEqual(
            (play.first_lines(), play.body(0)), (["POST /api/v1/jobs"], {"type": "inference", "name": "x"})
        )

    def test_again(self) -> None:
        """
        It is tried again under one key, another one for every submission.
        """
        play = Play([GONE], [b""], problem(409, "in_progress"), answer(QUEUED, 202))
        self.assertEqual(self.job(play, "submit", "--name", "x"), 0)
        keys = {line for number in (1, 2, 3) for line in play.lines(number) if line.startswith("Idempotency-Key: ")}
        self.assertEqual(len(keys), 1)
        play = Play(answer(QUEUED, 202))
        self.job(play, "submit", "--name", "x")
        self.assertFalse(keys & set(play.lines(0)))

    def test_unknown(self) -> None:
        """
        When nobody knows whether it was accepted, the key is told with which that can be found out.
        """
        unknown = problem(503, "store_unavailable", job_id=JOB_ID, detail="No answer.")
        for connection in ([b""], unknown):
            with self.assertRaisesRegex(
                TroubleError, "may have been accepted: the same again with --key mine makes sure"
            ):
                self.job(Play(*[connection] * 99), "submit", "--name", "x", "--key", "mine")
        self.assertIn("Idempotency-Key: mine", self.play.lines(0))
        for connection in (problem(422, "invalid_job"), problem(503, "draining")):
            with self.assertRaises(TroubleError) as caught:
                self.job(Play(*[connection] * 99), "submit", "--name", "x", "--key", "mine")
            self.assertNotIn("--key", str(caught.exception))

    def test_dry_run(self) -> None:
        """
        A dry run tells what would be, and fails if it would be too many.
        """
        verdict = {"valid": True, "queue": {"type": "inference", "lane": "high", "ahead": 3}, "quota": {"within": True}}
        play = Play(answer(verdict))
        self.assertEqual(self.job(play, "submit", "--name", "x", "--dry-run"), 0)
        self.assertEqual(self.printed(), (["valid: 3 ahead of it in the high lane of inference"], []))
        self.assertEqual(play.first_lines(), ["POST /api/v1/jobs?dry_run=true"])
        over = Play(answer({**verdict, "quota": {"within": False}}))
        self.assertEqual(self.job(over, "submit", "--name", "x", "--dry-run"), 1)
        self.assertIn("over your quota", self.out.getvalue())

    def test_json(self) -> None:
        """
        For programs it prints the answer.
        """
        self.job(Play(answer(QUEUED, 202)), "submit", "--name", "x", "--json")
        self.assertEqual(json.loads(self.out.getvalue()), QUEUED)

    def test_watch(self) -> None:
        """
        It can be watched at once.
        """
        done = {**job().public(), "status": "failed", "message": "Job failed", "error": "boom"}
        play = Play(
            answer(QUEUED, 202), answer(job().public()), stream(event(4, "status", status="failed")), answer(done)
        )
        self.assertEqual(self.job(play, "submit", "--name", "x", "--watch"), 1)
        expected = [JOB_ID, "A job (ai_training, 1 GPU)", "failed: Job failed", "error: boom"]
        self.assertEqual(self.printed(), (expected, []))


class ListTests(ActionsTestCase):
    """
    C{siger job list}.
    """

    def page(self, count: int, cursor: str | None) -> list[Any]:
        """
        An answer with so many jobs.
        """
        return answer({"jobs": [job().public()] * count, "next_cursor": cursor})

    def test_pages(self) -> None:
        """
        Pages are asked for until there are enough jobs, or no more.
        """
        play = Play(self.page(500, "c1"), self.page(500, "c2"), self.page(200, "c3"))
        self.assertEqual(self.job(play, "list", "--limit", "1200"), 0)
        self.assertEqual(
            play.first_lines(),
            [
                "GET /api/v1/jobs?limit=500",
                "GET /api/v1/jobs?limit=500&cursor=c1",
                "GET /api/v1/jobs?limit=200&cursor=c2",
            ],
        )
        out, err = self.printed()
        self.assertEqual((len(out), err), (1201, ["there are more; --limit N shows more than 1200"]))
        self.job(Play(self.page(3, None)), "list")
        self.assertEqual([len(lines) for lines in self.printed()], [4, 0])

    def test_filters(self) -> None:
        """
        Filters are passed on.
        """
        options = ["--status", "queued", "--status", "failed", "--type", "inference", "--tag", "a:b", "--all"]
        play = Play(self.page(0, None))
        self.job(play, "list", *options, "--after", "2027-01-31T12:00:00+01:00", "--before", "2028-01-01T00:00:00Z")
        (line,) = play.first_lines()
        self.assertEqual(
            line.partition("?")[2],
            "status=queued&status=failed&type=inference&tag=a%3Ab&created_after=2027-01-31T12%3A00%3A00%2B01%3A00"
            "&created_before=2028-01-01T00%3A00%3A00Z&owner=%2A&limit=50",
        )
        self.assertEqual(self.printed(), ([], ["no jobs"]))

    def test_json(self) -> None:
        """
        For programs it prints one list.
        """
        self.job(Play(self.page(1, "c"), self.page(1, None)), "list", "--json")
        self.assertEqual(json.loads(self.out.getvalue()), [json.loads(json.dumps(job().public()))] * 2)


class OneJobTests(ActionsTestCase):
    """
    C{show} and C{cancel}.
    """

    def test_show(self) -> None:
        """
        A job is shown to people and to programs.
        """
        self.job(Play(answer(job().public())), "show", JOB_ID)
        self.assertIn("State        queued\n", self.out.getvalue())
        play = Play(answer(job().public()))
        self.job(play, "show", JOB_ID, "--json")
        self.assertEqual(json.loads(self.out.getvalue())["job_id"], JOB_ID)
        self.assertEqual(play.first_lines(), [f"GET /api/v1/jobs/{JOB_ID}"])

    def test_cancel(self) -> None:
        """
        Jobs are cancelled one after the other.
        """
        said = {"status": "cancelling", "message": "Job cancellation requested"}
        play = Play(answer(said, 202), answer({"status": "completed", "message": "Job completed"}))
        self.assertEqual(self.job(play, "cancel", "a", "b"), 0)
        self.assertEqual(play.first_lines(), ["DELETE /api/v1/jobs/a", "DELETE /api/v1/jobs/b"])
        self.assertEqual(
            self.printed()[0], ["a: cancelling: Job cancellation requested", "b: completed: Job completed"]
        )


class WatchTests(ActionsTestCase):
    """
    C{siger job watch}.
    """

    def watch(self, events: Sequence[bytes], *records: Mapping[str, Any], options: Sequence[str] = ()) -> int:
        """
        Watch a job with such events, whose record is then asked for.
        """
        play = Play(answer(job().public()), stream(*events), *[answer(record) for record in records])
        return self.job(play, "watch", JOB_ID, *options)

    def test_statuses(self) -> None:
        """
        The exit status says how the job ended.
        """
        for status, expected in [("completed", 0), ("failed", 1), ("cancelled", 2)]:
            record = {**job().public(), "status": status}
            self.assertEqual(self.watch([event(4, "status", status=status)], record), expected)

    def test_record(self) -> None:
        """
        The record has the last word, and is waited for: what completes while it is being cancelled was cancelled.
        """
        late = {**job().public(), "status": "cancelling"}
        record = {**late, "status": "cancelled", "message": "Too late"}
        self.assertEqual(self.watch([event(4, "status", status="completed")], late, record), 2)
        self.assertEqual(self.play.first_lines()[2:], [f"GET /api/v1/jobs/{JOB_ID}?wait=2"] * 2)
        self.assertIn("cancelled: Too late\n", self.out.getvalue())

    def test_no_record(self) -> None:
        """
        If it does not come, the event has to do.
        """
        end = event(4, "status", status="failed", error="boom")
        self.assertEqual(self.watch([end], *[{**job().public(), "status": "processing"}] * 99), 1)
        self.assertEqual(self.printed()[0][1:], ["failed", "error: boom"])
        self.assertFalse(self.play.finished)

    def test_json(self) -> None:
        """
        For programs it prints one event a line.
        """
        done = {**job().public(), "status": "completed"}
        self.watch([event(4, message="a"), event(5, "status", status="completed")], done, options=["--json"])
        self.assertEqual([json.loads(line).get("status") for line in self.printed()[0]], [None, "completed"])

    def test_trouble(self) -> None:
        """
        What passes disturbs nobody who watches.
        """
        done = {**job().public(), "status": "completed"}
        connections = [problem(503, "draining"), answer(job().public()), stream(), [GONE], answer(job().public())]
        play = Play(
            *connections, stream(event(4, "status", status="completed")), problem(503, "draining"), answer(done)
        )
        self.assertEqual(self.job(play, "watch", JOB_ID), 0)
        self.assertEqual(self.printed()[1], [])

    def test_unknown(self) -> None:
        """
        A job that is not there cannot be watched.
        """
        with self.assertRaisesRegex(TroubleError, "Unknown job"):
            self.job(Play(problem(404, "unknown_job")), "watch", JOB_ID)

    def test_interrupted(self) -> None:
        """
        Whoever has seen enough is told that the job goes on.
        """
        head, first, *_ = stream(event(4, message="a"))
        play = Play(answer(job().public()), [head, first, KeyboardInterrupt()])
        self.assertEqual(self.job(play, "watch", JOB_ID), 130)
        out, err = self.printed()
        self.assertEqual(out[-1], "a")
        goes_on = f"The job goes on: siger job watch {JOB_ID} looks again, siger job cancel {JOB_ID} ends it."
        self.assertEqual(err, [goes_on])

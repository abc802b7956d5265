"""
A new user's tour of jobs with the quickstart, as the README tells it: with the published bodies over HTTP, and with
C{siger job}.
"""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from tests.integration.test_quickstart import CHECKOUT, LauncherTestCase, eventually
from tests.integration.tls_front import TlsFront

LOGIN = b'{"username": "user", "password": "user123"}'
JOB = b"""\
{
  "type": "ai_training",
  "name": "BERT Fine-tuning",
  "description": "Fine-tune BERT model on custom dataset",
  "gpu_type": "A100",
  "gpu_count": 4,
  "priority": 10,
  "params": {
    "model": "bert-base-uncased",
    "dataset_path": "s3://mybucket/datasets/custom-data",
    "epochs": 3,
    "batch_size": 32,
    "learning_rate": 5e-5
  },
  "tags": ["nlp", "bert", "fine-tuning"]
}
"""
LONG = JOB.replace(b'"epochs": 3', b'"epochs": 8')
"""
One that takes four seconds.
"""
TIME = r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z"


def events_in(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """
    The events of a whole stream: id, name and data of each.
    """
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
    return found


class TourTestCase(LauncherTestCase):
    """
    Somebody with a quickstart that runs.
    """

    def setUp(self) -> None:
        """
        Start it.
        """
        super().setUp()
        self.launcher = self.launch_and_wait()
        self.token = ""
        self.trusted: dict[str, str] = {}

    def open(self, method: str, path: str, body: bytes = b"", **fields: str) -> HTTPResponse:
        """
        Ask.
        """
        connection = HTTPConnection("localhost", self.ports[0], timeout=20)
        self.addCleanup(connection.close)
        headers = {"Content-Type": "application/json", **fields}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection.request(method, path, body or None, headers)
        return connection.getresponse()

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
        """
        Ask, and read what is answered.
        """
        response = self.open(method, path, body)
        return response.status, json.loads(response.read())

    def log_in(self) -> None:
        """
        Log in.
        """
        self.token = self.ask("POST", "/auth/login", LOGIN)[1]["token"]

    def submit(self, body: bytes) -> str:
        """
        Submit a job.
        """
        status, document = self.ask("POST", "/api/v1/jobs", body)
        self.assertEqual(status, 202, document)
        return str(document["job_id"])

    def record(self, job_id: str) -> dict[str, Any]:
        """
        What is known of a job.
        """
        status, document = self.ask("GET", f"/api/v1/jobs/{job_id}")
        self.assertEqual(status, 200, document)
        return document

    def events(self, job_id: str, **fields: str) -> list[tuple[str, str, dict[str, Any]]]:
        """
        All events of a job, until it has ended.
        """
        response = self.open("GET", f"/api/v1/jobs/{job_id}/events", **fields)
        self.assertEqual(
            (response.status, response.getheader("Content-Type")), (200, "text/event-stream; charset=utf-8")
        )
        return events_in(response.read().decode())

    def until_running(self, job_id: str) -> None:
        """
        Wait until somebody works at a job.
        """
        begun = eventually(lambda: self.record(job_id)["progress"] > 0, 15)
        self.assertTrue(begun, self.printed())

    def command(self, *arguments: str) -> list[str]:
        """
        A C{siger job} command.
        """
        return [sys.executable, "-P", "-m", "siger.cli", "job", *arguments]

    def environ(self) -> dict[str, str]:
        """
        What commands find in their environment.
        """
        url = f"http://localhost:{self.ports[0]}"
        own = {"SIGER_URL": url, "XDG_CONFIG_HOME": str(self.room / "config"), "PYTHONPATH": str(CHECKOUT)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SIGER_")}
        return {**kept, **own, "TERM": "xterm", "LC_ALL": "C.UTF-8", **self.trusted}

    def siger(self, *arguments: str, source: bytes = b"", status: int = 0) -> str:
        """
        Run such a command.

        @return: what it printed.
        """
        command = self.command(*arguments)
        done = subprocess.run(command, env=self.environ(), input=source, capture_output=True, timeout=30)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout.decode()


class TourTests(TourTestCase):
    """
    The tour.
    """

    def test_tour(self) -> None:
        """
        It works with any HTTP client, with the command, and with the command through TLS.
        """
        self.tour_over_http()
        self.tour_by_command()
        self.tour_through_tls()

    def tour_over_http(self) -> None:
        """
        The published bodies work word for word and are answered as published; the events of a job are seen to its end,
        with a loss that falls, and can be resumed anywhere; another job is cancelled while it runs.
        """
        self.log_in()
        response = self.open("POST", "/api/v1/jobs", JOB)
        accepted = json.loads(response.read())
        job_id = accepted["job_id"]
        self.assertEqual((response.status, response.getheader("Location")), (202, f"/api/v1/jobs/{job_id}"))
        self.assertRegex(accepted.pop("timestamp"), TIME)
        expected = {"job_id": job_id, "status": "queued", "message": "Job submitted successfully"}
        self.assertEqual(accepted, expected)
        self.see(job_id)
        self.cancel(self.submit(LONG))
        listed = self.ask("GET", "/api/v1/jobs?tag=bert")[1]["jobs"]
        self.assertEqual([job["status"] for job in listed], ["cancelled", "completed"])

    def see(self, job_id: str) -> None:
        """
        Follow a job, then ask for it.
        """
        events = self.events(job_id)
        told = [data["status"] for _, name, data in events if name == "status"]
        self.assertEqual(told, ["queued", "processing", "completed"])
        lines = [data["message"] for _, name, data in events if name == "log"]
        losses = [float(match[1]) for line in lines if (match := re.search(r"loss ([0-9.]+)$", line))]
        self.assertEqual((len(losses), sorted(losses, reverse=True)), (3, losses))
        numbers = [int(number) for number, _, _ in events if number]
        self.assertEqual(sorted(set(numbers)), numbers)
        self.assertEqual(self.events(job_id, **{"Last-Event-ID": str(numbers[2])}), events[-len(numbers[3:]) :])
        self.assertTrue(eventually(lambda: self.record(job_id)["status"] == "completed", 10))
        job = self.record(job_id)
        self.assertEqual((job["status"], job["progress"], job["attempts"]), ("completed", 100, 1))
        self.assertEqual([round(loss, 4) for loss in job["result"]["losses"]], losses)
        self.assertRegex(job["timestamp"], TIME)

    def cancel(self, job_id: str) -> None:
        """
        Cancel a job that runs.
        """
        self.until_running(job_id)
        self.assertEqual(self.record(job_id)["status"], "processing")
        status, document = self.ask("DELETE", f"/api/v1/jobs/{job_id}")
        self.assertRegex(document.pop("timestamp"), TIME)
        expected = {"job_id": job_id, "status": "cancelling", "message": "Job cancellation requested"}
        self.assertEqual((status, document), (202, expected))
        self.assertEqual(self.events(job_id)[-1][2]["status"], "cancelled")
        self.assertTrue(eventually(lambda: self.record(job_id)["status"] == "cancelled", 10))

    def tour_by_command(self) -> None:
        """
        A job is submitted from a file and watched to its end; another is cancelled; both are listed and shown.
        """
        self.siger("login", "user", "--password-stdin", source=b"user123\n")
        out = self.siger("submit", "-", "--watch", "--tag", "mine", source=JOB)
        first, *lines = out.splitlines()
        self.assertEqual(lines[0], "BERT Fine-tuning (ai_training, 4 x A100)")
        self.assertIn("epoch 3/3: loss ", out)
        self.assertIn("completed: Job completed\nresult: {", out)
        options = ("--param", "epochs=20", "--name", "Another", "--tag", "mine")
        second = self.siger("submit", "-", *options, source=JOB).strip()
        self.seen_at_terminal(second)
        self.assertIn(f"{second}: cancelling", self.siger("cancel", second))
        self.assertIn("cancelled: Job cancelled\n", self.siger("watch", second, status=2))
        listed = self.siger("list", "--tag", "mine").splitlines()[1:]
        self.assertEqual([line.split()[:2] for line in listed], [[second, "cancelled"], [first, "completed"]])
        self.assertIn("Name         Another\n", self.siger("show", second))
        self.siger("submit", "--type", "ai_training", status=1)
        self.siger("watch", "nothing", status=3)

    def tour_through_tls(self) -> None:
        """
        A gateway behind TLS is used like any other, if its certificate is trusted; and when connections are cut while a
        job is watched, nothing of it is missed or seen twice.
        """
        front = TlsFront(self.ports[0], self.room)
        url = front.start()
        self.addCleanup(front.stop)
        untrusted = self.siger("--url", url, "--token", self.token, "list", status=1)
        self.assertEqual(untrusted, "")
        self.trusted = {"SSL_CERT_FILE": str(front.authority)}
        job_id = self.siger("--url", url, "--token", self.token, "submit", "-", source=LONG).strip()
        before = front.accepted
        command = self.command("--url", url, "--token", self.token, "watch", "--json", job_id)
        output = self.room / "events"
        with output.open("wb") as file:
            watching = subprocess.Popen(command, env=self.environ(), stdout=file, stderr=subprocess.PIPE)
        self.addCleanup(watching.kill)
        self.assertTrue(eventually(lambda: len(output.read_bytes().splitlines()) >= 4, 20))
        front.cut()
        self.assertEqual((watching.communicate(timeout=30)[1], watching.returncode), (b"", 0))
        self.assertGreater(front.accepted, before + 2)
        seen = [json.loads(line) for line in output.read_bytes().splitlines()]
        self.assertEqual(seen, [data for _, _, data in self.events(job_id)])

    def seen_at_terminal(self, job_id: str) -> None:
        """
        Watch at a terminal until the bar moves, and leave with Ctrl-C.
        """
        controller, terminal = pty.openpty()
        self.addCleanup(os.close, controller)
        watching = subprocess.Popen(
            self.command("watch", job_id), env=self.environ(), stdin=terminal, stdout=terminal, stderr=terminal
        )
        os.close(terminal)
        self.addCleanup(watching.wait)
        self.addCleanup(watching.kill)
        seen = b""
        while "█".encode() not in seen:
            seen += os.read(controller, 65536)
        watching.send_signal(signal.SIGINT)
        self.assertEqual(watching.wait(10), 130)
        seen += os.read(controller, 65536)
        text = seen.decode("utf-8", "replace")
        self.assertIn("\r\x1b[Kprocessing  ", text)
        self.assertTrue(text.endswith(f"siger job cancel {job_id} ends it.\r\n"), text[-300:])


class LossTests(TourTestCase):
    """
    What becomes of a job when something of the quickstart goes.
    """

    extra = "\njobs: {lease: 2, lost_after: 60}\n"

    def test_losses(self) -> None:
        """
        A job whose worker is killed is given to the next one. One that runs when everything is stopped is handed back,
        and runs when everything is started again.
        """
        self.log_in()
        self.kill_worker()
        self.restart()

    def kill_worker(self) -> None:
        """
        Kill the worker of a job: the next attempt is the second.
        """
        job_id = self.submit(LONG)
        self.until_running(job_id)
        os.kill(self.worker(self.launcher), signal.SIGKILL)
        self.assertEqual(self.told(job_id), ["queued", "processing", "processing", "completed"])
        self.assertEqual(self.ended(job_id)["attempts"], 2)

    def restart(self) -> None:
        """
        Stop and start everything while a job runs: that is no second attempt.
        """
        job_id = self.submit(LONG)
        self.until_running(job_id)
        self.launcher.send_signal(signal.SIGINT)
        self.assertEqual(self.launcher.wait(30), 0, self.printed())
        self.assert_nothing_left()
        self.launcher = self.launch_and_wait()
        self.assertEqual(self.told(job_id), ["queued", "processing", "retrying", "processing", "completed"])
        self.assertEqual(self.ended(job_id)["attempts"], 1)

    def told(self, job_id: str) -> list[str]:
        """
        The states that a job goes through, to the end.
        """
        return [data["status"] for _, name, data in self.events(job_id) if name == "status"]

    def ended(self, job_id: str) -> dict[str, Any]:
        """
        The record of a job that has completed.
        """
        self.assertTrue(eventually(lambda: self.record(job_id)["status"] == "completed", 10))
        return self.record(job_id)

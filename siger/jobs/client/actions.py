"""
What the actions of C{siger job} do.
"""

from __future__ import annotations

import json
import time
import uuid
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

from siger.jobs.client.address import DEFAULT_URL, Address
from siger.jobs.client.credentials import CredentialFile, Credentials, GivenToken, KeptToken, default_path
from siger.jobs.client.errors import LostError, RefusedError, TroubleError
from siger.jobs.client.following import Following
from siger.jobs.client.gateway import JOBS, Gateway, Tokens, job_path
from siger.jobs.client.screen import Screen, columns_of
from siger.jobs.client.submitting import document_of
from siger.jobs.client.tables import described, table
from siger.jobs.client.view import View
from siger.jobs.model import TERMINAL

if TYPE_CHECKING:
    from siger.jobs.commands import Console

__all__ = ["FAILURE", "INTERRUPTED", "TROUBLE", "Actions"]

FAILURE: Final = 1
TROUBLE: Final = 3
INTERRUPTED: Final = 130

_STATUSES: Final = {"completed": 0, "failed": 1, "cancelled": 2}
_PAGE: Final = 500
_LONGEST_PASSWORD: Final = 16384
_FINAL_WAIT: Final = 2
_FINAL_PAUSE: Final = 0.1
_FINAL_PATIENCE: Final = 6.0


class Actions:
    """
    One command.
    """

    def __init__(
        self,
        arguments: Namespace,
        console: Console,
        gateway: Callable[[Address, Tokens, Callable[[str], object]], Gateway] = Gateway,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param gateway: makes what talks to a gateway.
        @param now: the wall clock.
        """
        self._arguments = arguments
        self._console = console
        environ = console.environ
        self._address = Address.parse(arguments.url or environ.get("SIGER_URL") or DEFAULT_URL)
        self._url = str(self._address)
        self._file = CredentialFile(default_path(environ))
        self._kept = KeptToken(self._file, self._url, now)
        self._now = now
        given = arguments.token or environ.get("SIGER_TOKEN", "").strip()
        self._given = GivenToken(given) if given else None
        self._gateway = gateway(self._address, self._given or self._kept, console.complain)
        self._kept.renewed_by(self._gateway)

    def run(self) -> int:
        """
        Do what was asked for.

        @return: the exit status.
        @raise TroubleError: that is not possible.
        """
        actions: dict[str, Callable[[], int]] = {
            "login": self.login,
            "logout": self.logout,
            "submit": self.submit,
            "list": self.list_jobs,
            "show": self.show,
            "watch": self.watch,
            "cancel": self.cancel,
        }
        return actions[self._arguments.action]()

    def login(self) -> int:
        """
        Get a token for a password, and keep it.
        """
        name = self._arguments.name or self._known_name()
        if not self._address.private:
            self._console.complain(f"warning: everybody on the way to {self._url} can read the password")
        body = {"username": name, "password": self._password(name)}
        answer = self._gateway.ask_once("POST", "/auth/login", document=body, token="")
        credentials = Credentials.from_answer(answer.document, self._now())
        self._file.write(self._url, credentials)
        until = answer.document["expires_at"]
        self._console.say(f"Logged in to {self._url} as {credentials.username}, until {until} or longer by use.")
        return 0

    def _known_name(self) -> str:
        kept = self._file.read(self._url)
        if kept is not None:
            return kept.username
        name = self._console.environ.get("USER")
        if not name:
            raise TroubleError("who are you? siger job login NAME")
        return name

    def _password(self, name: str) -> str:
        if self._arguments.password_stdin:
            return self._console.read_line(_LONGEST_PASSWORD).rstrip("\r\n")
        try:
            return self._console.ask_secret(f"Password of {name}: ")
        except EOFError:
            raise TroubleError("there is no terminal to ask for the password; use --password-stdin") from None

    def logout(self) -> int:
        """
        End the token, and keep it no longer.
        """
        kept = self._file.read(self._url)
        if kept is None:
            self._console.say(f"There is no token for {self._url}.")
            return 0
        try:
            self._gateway.ask_once("POST", "/auth/logout", token=kept.token)
        except RefusedError as error:
            if not error.anonymous:  # else it has ended already
                raise
        self._file.write(self._url, None)
        self._console.say(f"Logged out of {self._url}.")
        return 0

    def submit(self) -> int:
        """
        Submit a job, and watch it if wanted.
        """
        document = document_of(self._arguments, self._console.source)
        if self._arguments.dry_run:
            return self._try(document)
        answer = self._submitted(document)
        job_id = str(answer.get("job_id", ""))
        if not (self._arguments.json and self._arguments.watch):  # each event has the id
            self._say(answer, job_id)
        return self._watched(job_id) if self._arguments.watch else 0

    def _submitted(self, document: object) -> Mapping[str, Any]:
        """
        Submit under a key, so that it can be sent again when nobody knows what became of it.
        """
        key = self._arguments.key or uuid.uuid4().hex
        try:
            return self._gateway.ask("POST", JOBS, document=document, fields={"Idempotency-Key": key}).document
        except TroubleError as error:
            if isinstance(error, LostError) or (isinstance(error, RefusedError) and "job_id" in error.document):
                text = f"{error}; it may have been accepted: the same again with --key {key} makes sure of one job"
                raise TroubleError(text) from error
            raise

    def _try(self, document: object) -> int:
        verdict = self._gateway.ask("POST", JOBS, {"dry_run": "true"}, document).document
        queue = verdict.get("queue") or {}
        fits = (verdict.get("quota") or {}).get("within", True)
        text = f"valid: {queue.get('ahead')} ahead of it in the {queue.get('lane')} lane of {queue.get('type')}"
        self._say(verdict, text if fits else f"{text}, but over your quota")
        return 0 if fits else FAILURE

    def list_jobs(self) -> int:
        """
        List jobs, page by page, until there are enough.
        """
        jobs: list[Mapping[str, Any]] = []
        parameters = self._filters()
        while True:
            parameters["limit"] = min(self._arguments.limit - len(jobs), _PAGE)
            page = self._gateway.ask("GET", JOBS, parameters).document
            jobs += page.get("jobs", [])
            cursor = page.get("next_cursor")
            if not cursor or len(jobs) >= self._arguments.limit:
                break
            parameters["cursor"] = cursor
        self._list(jobs, more=bool(cursor))
        return 0

    def _filters(self) -> dict[str, Any]:
        given = self._arguments
        owner = "*" if given.all else given.owner
        filters = {
            "status": given.status,
            "type": given.type,
            "tag": given.tag,
            "created_after": given.after,
            "created_before": given.before,
            "owner": owner,
        }
        return {name: value for name, value in filters.items() if value}

    def _list(self, jobs: list[Mapping[str, Any]], more: bool) -> None:
        if self._arguments.json:
            self._console.say(_json(jobs))
            return
        columns = columns_of(self._console.out, self._console.environ)
        if jobs:
            owners = bool(self._arguments.all or self._arguments.owner)
            self._console.say(table(jobs, columns() if columns else None, owners))
        else:
            self._console.complain("no jobs")
        if more:
            self._console.complain(f"there are more; --limit N shows more than {len(jobs)}")

    def show(self) -> int:
        """
        Show all of one job.
        """
        job = self._gateway.ask("GET", job_path(self._arguments.job_id)).document
        self._say(job, described(job))
        return 0

    def cancel(self) -> int:
        """
        Cancel jobs.
        """
        for job_id in self._arguments.job_id:
            answer = self._gateway.ask("DELETE", job_path(job_id)).document
            self._say(answer, f"{job_id}: {answer.get('status')}: {answer.get('message')}")
        return 0

    def watch(self) -> int:
        """
        Watch a job until it has ended.
        """
        return self._watched(self._arguments.job_id)

    def _watched(self, job_id: str) -> int:
        view = _Events(self._console) if self._arguments.json else View(self._screen())
        self._gateway.notice = view.trouble
        try:
            view.begin(self._gateway.ask("GET", job_path(job_id)).document)
            events: Sequence[Mapping[str, Any]] = ({},)
            for events in Following(self._gateway, job_id, self._arguments.patience, view.trouble).events():
                view.show(events)
            job = self._final(job_id, events[-1])
            view.end(job)
            return _STATUSES.get(str(job.get("status")), TROUBLE)
        except KeyboardInterrupt:
            view.leave()
            self._console.complain(
                f"The job goes on: siger job watch {job_id} looks again, siger job cancel {job_id} ends it."
            )
            return INTERRUPTED
        finally:
            view.leave()

    def _screen(self) -> Screen:
        return Screen(self._console.out, columns_of(self._console.out, self._console.environ))

    def _final(self, job_id: str, last: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        The job as it ended. Its record, which has the last word, follows its events, so it may be a moment late.

        @param last: the last event.
        """
        clock = self._gateway.clock
        until = clock.monotonic() + _FINAL_PATIENCE
        while True:
            job = self._gateway.ask("GET", job_path(job_id), {"wait": _FINAL_WAIT}).document
            if job.get("status") in TERMINAL:
                return job
            if clock.monotonic() > until:
                return {**job, "message": "", **last}
            clock.sleep(_FINAL_PAUSE)

    def _say(self, document: object, text: str) -> None:
        """
        Print a result, for people or for programs.
        """
        self._console.say(_json(document) if self._arguments.json else text)


class _Events:
    """
    A view for programs: one JSON object a line.
    """

    def __init__(self, console: Console) -> None:
        self._out: TextIO = console.out

    def begin(self, job: Mapping[str, Any]) -> None:
        """
        They can ask for that themselves.
        """

    def show(self, events: Sequence[Mapping[str, Any]]) -> None:
        """
        Print events.
        """
        self._out.writelines(json.dumps(event) + "\n" for event in events)
        self._out.flush()

    def trouble(self, text: str) -> None:
        """
        That passes.
        """

    def end(self, job: Mapping[str, Any]) -> None:
        """
        The last event has said it.
        """

    def leave(self) -> None:
        """
        Nothing has to be cleared away.
        """


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)

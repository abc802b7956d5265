"""
A real browser, to see what it makes of answers: Chromium without a window, driven over its DevTools protocol.

    browser = Browser()
    self.addCleanup(browser.stop)
    browser.start()
    page = browser.open("http://app.test:8000/")
    page.fetch("http://api.test:8080/", {"method": "PUT"})

Every name below C{.test} leads to this machine, so that origins differ as they do in practice. Nothing here needs a
reactor or a running loop.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import frozen
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

__all__ = ["Browser", "BrowserFailed", "Fetched", "Page", "chromium_program"]

#: Where C{make tools} puts the program.
TOOLS = Path(__file__).resolve().parents[2] / ".tools" / "bin" / "chromium"
#: Seconds for the start, and for each thing that a page is asked to do.
START_TIMEOUT = 30.0
PAGE_TIMEOUT = 15.0

_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlive the tests
os.execv(sys.argv[1], sys.argv[1:])
"""

_FLAGS = [
    "--headless",
    "--no-sandbox",  # which root has not
    "--disable-gpu",
    "--disable-dev-shm-usage",  # small in containers
    "--no-first-run",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-quic",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
]

_FETCH = """
(async () => {
    try {
        const response = await fetch(%s, %s);
        const body = await response.text();
        return {status: response.status, body: body, fields: [...response.headers]};
    } catch (error) {
        return {failed: String(error)};
    }
})()
"""


class BrowserFailed(Exception):  # noqa: N818  (as a sentence reads)
    """
    The browser did not start, or did not do in time what it must.
    """


@frozen
class Fetched:
    """
    What a page's script got from C{fetch}.

    @ivar status: of the answer, or 0 when the script got none.
    @ivar body: all of it.
    @ivar fields: those that the script may read, by their names in lower case.
    @ivar failed: what the script is told instead: never more than that it failed.
    @ivar cors_error: why the browser kept the answer from the script, in the words of its developer tools.
    """

    status: int = 0
    body: str = ""
    fields: Mapping[str, str] = {}
    failed: str = ""
    cors_error: str = ""

    @property
    def json(self) -> Any:
        """
        The body as a document.
        """
        return json.loads(self.body)


def chromium_program() -> str:
    """
    The path of the program: C{SIGER_TEST_CHROMIUM}, else the one that C{make tools} got, else the one on C{PATH}.
    """
    found = os.environ.get("SIGER_TEST_CHROMIUM") or (str(TOOLS) if TOOLS.exists() else shutil.which("chromium"))
    if not found:
        message = "There is no chromium to test with. Run `make tools`, or set SIGER_TEST_CHROMIUM to its path."
        raise AssertionError(message)
    return found


class Browser:
    """
    One browser with an empty profile.
    """

    def __init__(self, *flags: str) -> None:
        """
        @param flags: further options of the program.
        """
        self._program = chromium_program()
        self._flags = flags
        self.directory = Path(tempfile.mkdtemp(prefix="siger-browser-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._tools: ClientConnection | None = None
        self._last = 0
        self._events: list[dict[str, Any]] = []

    def start(self) -> Browser:
        """
        Start it.

        @raise BrowserFailed: with what it printed.
        """
        with (self.directory / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    "-c",
                    _LAUNCH,
                    self._program,
                    *_FLAGS,
                    *self._flags,
                    f"--user-data-dir={self.directory}",
                ],
                env={**os.environ, "HOME": str(self.directory)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._connected():
            if self._process.poll() is not None or time.monotonic() > deadline:
                output_file = self.directory / "output.log"
                said = output_file.read_text("utf-8", "replace")
                self.stop()
                raise BrowserFailed(f"Chromium did not start:\n{said}")
            time.sleep(0.02)
        return self

    def _connected(self) -> bool:
        try:
            port, path = (self.directory / "DevToolsActivePort").read_text("ascii").split()
            self._tools = connect(f"ws://127.0.0.1:{port}{path}", proxy=None, max_size=None)
        except (OSError, ValueError, WebSocketException):  # not yet, or half written
            return False
        return True

    def open(self, url: str) -> Page:
        """
        Open a page in a tab of its own, and wait until it is loaded.
        """
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        page.load(url)
        return page

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """
        Ask for something.

        @return: the answer.
        @raise BrowserFailed: when it cannot be done, or there is no answer in time.
        """
        self._last += 1
        number = self._last
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        assert self._tools is not None
        self._tools.send(json.dumps(message))
        deadline = time.monotonic() + PAGE_TIMEOUT
        while True:
            answer = self._receive(deadline, method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserFailed(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def event(self, matches: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """
        The first event that matches, which is then forgotten: one that came already, or one that comes.

        @raise BrowserFailed: when it does not in time.
        """
        deadline = time.monotonic() + PAGE_TIMEOUT
        while True:
            for event in self._events:
                if matches(event):
                    self._events.remove(event)
                    return event
            self._receive(deadline, what)

    def _receive(self, deadline: float, what: str) -> dict[str, Any]:
        """
        The next message. Events are kept.
        """
        assert self._tools is not None
        try:
            message: dict[str, Any] = json.loads(self._tools.recv(max(deadline - time.monotonic(), 0.001)))
        except TimeoutError as error:
            raise BrowserFailed(f"{what}: nothing within {PAGE_TIMEOUT} s") from error
        if "method" in message:
            self._events.append(message)
        return message

    def stop(self) -> None:
        """
        End it, and take its files away.
        """
        tools, self._tools = self._tools, None
        if tools is not None:
            with suppress(WebSocketException, OSError):
                tools.send(json.dumps({"id": 0, "method": "Browser.close"}))
                tools.close()
        if self._process is not None:
            self._end(self._process)
        self._remove()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        # In good order if possible: then it ends its other processes first.
        with suppress(subprocess.TimeoutExpired):
            process.wait(3)
        process.kill()
        process.wait(10)

    def _remove(self) -> None:
        # If it had to be killed, its other processes notice a moment later, and may still write.
        for _ in range(100):
            shutil.rmtree(self.directory, ignore_errors=True)
            if not self.directory.exists():
                return
            time.sleep(0.02)


class Page:
    """
    A tab.
    """

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    def load(self, url: str) -> None:
        """
        Go somewhere, and wait until it is loaded.
        """
        for domain in ("Page", "Network"):
            self._call(f"{domain}.enable")
        went = self._call("Page.navigate", url=url)
        if "errorText" in went:
            raise BrowserFailed(f"{url}: {went['errorText']}")
        self._event("Page.loadEventFired")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def _event(self, method: str, **has: Any) -> dict[str, Any]:
        def matches(event: dict[str, Any]) -> bool:
            if event.get("sessionId") != self._session or event["method"] != method:
                return False
            return all(event["params"].get(name) == value for name, value in has.items())

        found: dict[str, Any] = self._browser.event(matches, method)["params"]
        return found

    def run(self, script: str) -> Any:
        """
        Run a script in the page.

        @param script: an expression; what a promise comes to is waited for.
        @return: its value, as far as JSON can say it.
        """
        answer = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserFailed(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def fetch(self, url: str, options: Mapping[str, Any] | None = None) -> Fetched:
        """
        Have a script of the page fetch something.

        @param options: as C{fetch} takes them.
        """
        return self.fetched(self.run(_FETCH % (json.dumps(url), json.dumps(options or {}))))

    def fetched(self, result: Mapping[str, Any]) -> Fetched:
        """
        What a script got, with the reason of the developer tools where it got nothing.
        """
        if "failed" in result:
            why = self._event("Network.loadingFailed")
            cors_error = why.get("corsErrorStatus", {}).get("corsError", "")
            return Fetched(failed=result["failed"], cors_error=cors_error or why.get("errorText", ""))
        return Fetched(result["status"], result["body"], dict(result["fields"]))

    def close(self) -> None:
        """
        Close the tab.
        """
        self._browser.call("Target.closeTarget", targetId=self._target)

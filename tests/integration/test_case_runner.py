"""
The case runner itself: what it must notice, shown on a proxy that does nearly everything wrong.
"""

from __future__ import annotations

import asyncio

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.case_files import Case, load_requests, load_responses
from tests.integration.case_runner import CaseRunner
from tests.integration.loop_thread import in_loop
from tests.integration.naive_proxy import NaiveProxy
from tests.integration.raw_client import WRITE_MODES, segments
from tests.integration.recording_backend import RecordingBackend
from tests.integration.request_judge import Observation, judge
from tests.integration.second_opinions import OPINIONS, disagreements
from tests.integration.wire import Request, RequestReader, Response, ResponseReader

REQUESTS = {case.id: case for case in load_requests()}
RESPONSES = {case.id: case for case in load_responses()}


class NaiveProxyTests(SynchronousTestCase):
    """
    Cases that a naive proxy fails, and the ordinary ones that it passes.
    """

    async def _request_faults(self, *ids: str) -> dict[str, str]:
        return await self._faults(CaseRunner.request, [REQUESTS[one] for one in ids])

    async def _response_faults(self, *ids: str) -> dict[str, str]:
        return await self._faults(CaseRunner.response, [RESPONSES[one] for one in ids])

    async def _faults(self, run, cases: list[Case]) -> dict[str, str]:  # type: ignore[no-untyped-def]
        """
        Run the cases, each against a proxy of its own, all at once.
        """

        async def one(case: Case) -> str:
            backend = await RecordingBackend().start()
            proxy = NaiveProxy(backend.port)
            try:
                runner = CaseRunner(await proxy.start(), backend, patience=0.8)
                return "; ".join(await run(runner, case, "whole"))
            finally:
                await proxy.stop()
                await backend.stop()

        faults = await asyncio.gather(*(one(case) for case in cases))
        return dict(zip([case.id for case in cases], faults, strict=True))

    @in_loop
    async def test_smuggling(self) -> None:
        """
        A request hidden from the proxy's framing and seen by the backend's is reported, with what reached the backend.
        """
        faults = await self._request_faults("clte-case-split", "te-content-encoding", "te-chunked-cow", "cl-dup-zero")
        for one in ("clte-case-split", "te-chunked-cow", "cl-dup-zero"):
            self.assertRegex(faults[one], "forwarded b'GET [^ ]*/smuggled", one)
        self.assertEqual(faults["te-content-encoding"], "")

    @in_loop
    async def test_forwarded_malformed(self) -> None:
        """
        A malformed head that is relayed is reported even where our own lenient reading makes sense of it.
        """
        faults = await self._request_faults("nul-value", "h-dup-diff", "cl-hex", "t-fragment", "h-missing")
        for one, text in faults.items():
            self.assertIn("reached the backend, not 0", text, one)

    @in_loop
    async def test_hop_by_hop(self) -> None:
        """
        Fields that should have been removed, and a version that was not the gateway's own, are reported.
        """
        faults = await self._request_faults("hop-basic", "ok-http10", "fwd-xff", "pl-close-line2")
        self.assertIn("upstream absent ['x-drop'] does not hold", faults["hop-basic"])
        self.assertIn("upstream version 'HTTP/1.1' does not hold", faults["ok-http10"])
        self.assertIn("upstream present_re", faults["fwd-xff"])
        self.assertIn("smuggled", faults["pl-close-line2"])

    @in_loop
    async def test_incomplete(self) -> None:
        """
        A connection that is closed without an answer is not taken for a refusal.
        """
        faults = await self._request_faults("cl-short-eof", "crlfcrlf-cut")
        for one, text in faults.items():
            self.assertIn("responses [] and eof instead of 0 and a refusal", text, one)

    @in_loop
    async def test_controls(self) -> None:
        """
        What even a naive proxy gets right passes.
        """
        faults = await self._request_faults("ok-get", "ok-post-cl", "ok-query-chars", "pl-50", "pl-cl0-post")
        self.assertEqual(set(faults.values()), {""}, faults)

    @in_loop
    async def test_response_poisoning(self) -> None:
        """
        Bytes left over on the backend's connection that answer the next request are reported.
        """
        faults = await self._response_faults("extra-response", "idle-200", "extra-after-chunked")
        for one in ("extra-response", "idle-200"):
            self.assertIn("an ordinary request afterwards saw b'evil'", faults[one], one)
        self.assertIn("an ordinary request afterwards", faults["extra-after-chunked"])

    @in_loop
    async def test_response_relayed(self) -> None:
        """
        A malformed response that is relayed is reported; a correct one passes.
        """
        faults = await self._response_faults("hd-cr-value", "cl-te", "st-2sp", "ok-cl", "ok-setcookie-2")
        for one in ("hd-cr-value", "cl-te", "st-2sp"):
            self.assertIn("not ", faults[one], one)
            self.assertIn("502", faults[one], one)
        self.assertEqual((faults["ok-cl"], faults["ok-setcookie-2"]), ("", ""))


class JudgeTests(SynchronousTestCase):
    """
    Rules of the judge, on observations made by hand.
    """

    def _refusal(self, lines: bytes = b"Connection: close\r\n", status: bytes = b"400 Bad Request") -> Response:
        body = b'{"status":400,"reason":"malformed_request"}'
        reader = ResponseReader()
        reader.feed(
            b"HTTP/1.1 %b\r\nContent-Length: %d\r\nX-Content-Type-Options: nosniff\r\n%b\r\n%b"
            % (status, len(body), lines, body)
        )
        return reader.finals[0]

    def _partial(self) -> Request:
        reader = RequestReader()
        reader.feed(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        return reader.messages[0]  # type: ignore[return-value]

    def test_refused(self) -> None:
        """
        A 400 that says close, and a connection closed in stages, is a refusal.
        """
        self.assertEqual(judge(REQUESTS["te-nbsp"], Observation([self._refusal()], closed="eof")), [])

    def test_reset(self) -> None:
        """
        A connection that was reset was not closed in stages.
        """
        faults = judge(REQUESTS["te-nbsp"], Observation([self._refusal()], closed="reset"))
        self.assertEqual(faults, ["the refusal did not close the connection in stages (reset)"])

    def test_close_unannounced(self) -> None:
        """
        A refusal says that it closes.
        """
        faults = judge(REQUESTS["te-nbsp"], Observation([self._refusal(b"")], closed="eof"))
        self.assertEqual(faults, ["the refusal does not say Connection: close"])

    def test_partial_head_fault(self) -> None:
        """
        A fault in the head lets nothing through, not even a part.
        """
        faults = judge(REQUESTS["te-nbsp"], Observation([self._refusal()], closed="eof", partial=[self._partial()]))
        self.assertEqual(len(faults), 1)
        self.assertIn("although the head was at fault", faults[0])

    def test_partial_body_fault(self) -> None:
        """
        A fault in the body may come after a part was sent on, if that part is then cut off.
        """
        seen = Observation([self._refusal()], closed="eof", partial=[self._partial()])
        self.assertEqual(judge(REQUESTS["cl-short-eof"], seen), [])
        seen.dangling = 1
        self.assertEqual(
            judge(REQUESTS["cl-short-eof"], seen),
            ["a request that will never be complete was left open at the backend"],
        )

    def test_wrong_status(self) -> None:
        """
        The status has to be one that the case names.
        """
        faults = judge(REQUESTS["lf-all"], Observation([self._refusal(status=b"404 Not Found")], closed="eof"))
        self.assertIn("refused with 404, not [400]", faults)


class ReaderTests(SynchronousTestCase):
    """
    Our own reading of messages.
    """

    def test_split(self) -> None:
        """
        A reader sees the same messages however the bytes are split.
        """
        for case in REQUESTS.values():
            if len(case.raw) > 5_000:
                continue  # byte by byte, the time grows with the square of this
            seen = []
            for mode in WRITE_MODES:
                reader = RequestReader()
                for piece in segments(mode, case.raw):
                    reader.feed(piece)
                seen.append([(one.raw, bytes(one.body), one.trailers, one.complete) for one in reader.messages])
            self.assertEqual(seen[1:], seen[:1] * 3, case.id)

    def test_segments(self) -> None:
        """
        Whatever the mode, the pieces are the whole; byte-wise pieces of ordinary cases are single bytes.
        """
        for case in REQUESTS.values():
            for mode in WRITE_MODES:
                self.assertEqual(b"".join(segments(mode, case.raw)), case.raw)
            self.assertTrue(len(case.raw) > 20_000 or set(map(len, segments("bytes", case.raw))) == {1})

    def test_lenient(self) -> None:
        """
        A request counts although its lines end in LF, and the deviation is noted.
        """
        reader = RequestReader()
        reader.feed(REQUESTS["lf-all"].raw)
        self.assertTrue(reader.messages[0].complete)
        self.assertEqual(reader.messages[0].faults, ["bare CR or LF in the head"])

    def test_second_opinions(self) -> None:
        """
        The other parsers agree on what is unambiguous, and at least one objects to what is not.
        """
        plain = b"".join(REQUESTS[one].raw for one in ("ok-get", "ok-post-cl", "ok-post-chunked", "hop-basic"))
        self.assertEqual(disagreements(plain), [])
        self.assertEqual([len(opinion(plain)) for opinion in OPINIONS.values()], [4, 4, 4])
        for one in ("clte-case-split", "lf-all", "cl-dup-zero", "te-chunkedx", "te-http10-keepalive"):
            self.assertNotEqual(disagreements(REQUESTS[one].raw), [], one)

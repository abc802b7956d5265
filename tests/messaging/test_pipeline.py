"""
Tests of L{siger.messaging.pipeline}, with a client that only notes what is written. With a real server it is what
buckets and jobs are tested with.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from siger.messaging import pipeline as module
from siger.messaging.errors import NobodyAnswersError, TooLargeError, UnavailableError
from siger.messaging.pipeline import Pipeline, header


class NotingClient:
    """
    As much of nats-py's client as a pipeline uses.
    """

    def __init__(self) -> None:
        self.is_connected = True
        self.max_payload = 100
        self._pending: list[bytes] = []
        self._pending_data_size = 0
        self._flush_queue: asyncio.Queue[Any] = asyncio.Queue()
        self.heard: Any = None

    def new_inbox(self) -> str:
        """
        Name one.
        """
        return "_INBOX.x"

    async def subscribe(self, subject: str, cb: Any) -> None:
        """
        Note who hears.
        """
        assert subject == "_INBOX.x.*"
        self.heard = cb

    def written(self) -> bytes:
        """
        What was written since this was asked last.
        """
        content = b"".join(self._pending)
        assert len(content) == self._pending_data_size
        self._pending.clear()
        self._pending_data_size = 0
        return content


class HeaderTests(SynchronousTestCase):
    """
    Heads of messages.
    """

    def test_written(self) -> None:
        """
        Each field has its line.
        """
        self.assertEqual(header({"A": "1", "B": "x y"}), b"NATS/1.0\r\nA: 1\r\nB: x y\r\n\r\n")

    def test_injection(self) -> None:
        """
        Row K11: no value ends its line.
        """
        for value in ("a\r\nX: y", "a\n", "\r"):
            self.assertRaises(ValueError, header, {"A": value})


class PipelineTests(TestCase):
    """
    Questions and their answers.
    """

    timeout = 10

    async def make(self) -> tuple[Pipeline, NotingClient]:
        """
        A pipeline that is open.
        """
        client = NotingClient()
        pipeline = Pipeline(client)  # type: ignore[arg-type]
        await self.do(pipeline.open())
        self.addCleanup(pipeline.close, "over")
        return pipeline, client

    def do(self, work: Any) -> Deferred[Any]:
        """
        Carry out a coroutine of asyncio's.
        """
        return Deferred.fromFuture(asyncio.ensure_future(work))

    def hear(self, client: NotingClient, number: int, data: bytes = b"", **headers: str) -> Deferred[Any]:
        """
        An answer comes.
        """
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        message = SimpleNamespace(subject=f"_INBOX.x.{number}", data=data, headers=fields or None)
        return self.do(client.heard(message))

    async def test_written(self) -> None:
        """
        A question is written at once, with its head if it has one, and the client is told once to send.
        """
        pipeline, client = await self.make()
        pipeline.ask("a.b", b"12", b"HEAD").addErrback(lambda _: None)
        pipeline.ask("c", b"345").addErrback(lambda _: None)
        self.assertTrue(pipeline.send("d", b"6"))
        self.assertTrue(pipeline.send("e", b"", "r"))
        expected = (
            b"HPUB a.b _INBOX.x.1 4 6\r\nHEAD12\r\nPUB c _INBOX.x.2 3\r\n345\r\nPUB d  1\r\n6\r\nPUB e r 0\r\n\r\n"
        )
        self.assertEqual(client.written(), expected)
        self.assertEqual(client._flush_queue.qsize(), 1)
        self.assertTrue(client._flush_queue.get_nowait().done())

    async def test_answers(self) -> None:
        """
        Answers find their questions in any order; what answers none is passed over.
        """
        pipeline, client = await self.make()
        first, second = pipeline.ask("a"), pipeline.ask("b")
        await self.hear(client, 2, b"two")
        await self.hear(client, 9, b"nine")
        await self.hear(client, 2, b"again")
        await self.hear(client, 1, b"one")
        self.assertEqual([(await each).data for each in (first, second)], [b"one", b"two"])
        self.assertEqual((len(pipeline), pipeline.waiting), (0, 0))

    async def test_several(self) -> None:
        """
        An answer of several messages ends with one that says so, or that does not say that there are more.
        """
        pipeline, client = await self.make()
        first, second = pipeline.gather("a"), pipeline.gather("b")
        await self.hear(client, 1, b"1", Nats_Num_Pending="1")
        await self.hear(client, 1, b"2", Nats_Num_Pending="0")
        self.assertNoResult(first)
        await self.hear(client, 1, Status="204", Nats_Num_Pending="0")
        await self.hear(client, 2, b"only")
        self.assertEqual([message.data for message in await first], [b"1", b"2", b""])
        self.assertEqual([message.data for message in await second], [b"only"])

    async def test_nobody(self) -> None:
        """
        That nobody listens is known at once.
        """
        pipeline, client = await self.make()
        asked = [pipeline.ask("a"), pipeline.gather("b")]
        await self.hear(client, 1, Status="503")
        await self.hear(client, 2, Status="503")
        for each in asked:
            self.failureResultOf(each, NobodyAnswersError)

    async def test_too_late(self) -> None:
        """
        A question without an answer in time has failed, and its answer is passed over when it comes; questions that
        were asked later have their time.
        """
        self.patch(module, "TIMEOUT", 0.2)
        self.patch(module, "LOOK", 0.01)
        pipeline, client = await self.make()
        first = pipeline.ask("a", b"123")
        await self.do(asyncio.sleep(0.1))
        second = pipeline.ask("b", b"45")
        await self.assertFailure(first, UnavailableError)
        await self.do(asyncio.sleep(0.01))
        self.assertNoResult(second)
        self.assertEqual(pipeline.waiting, 2)
        await self.hear(client, 1)
        await self.assertFailure(second, UnavailableError)

    async def test_lost(self) -> None:
        """
        When the connection is lost all who wait hear so at once, and nothing more is asked.
        """
        pipeline, client = await self.make()
        asked = [pipeline.ask("a", b"1"), pipeline.gather("b")]
        again = asked[0].addErrback(lambda _: pipeline.ask("c"))
        client.written()
        pipeline.close("the connection was lost")
        for each in (again, asked[1], pipeline.ask("d"), pipeline.gather("e")):
            self.failureResultOf(each, UnavailableError)
        self.assertFalse(pipeline.send("f"))
        self.assertEqual((client.written(), len(pipeline), pipeline.waiting), (b"", 0, 0))

    async def test_not_connected(self) -> None:
        """
        Row K5: nothing is written for later.
        """
        pipeline, client = await self.make()
        client.is_connected = False
        self.failureResultOf(pipeline.ask("a"), UnavailableError)
        self.assertFalse(pipeline.send("a"))
        self.assertEqual(client.written(), b"")
        self.failureResultOf(Pipeline(client).ask("a"), UnavailableError)  # type: ignore[arg-type]

    async def test_too_large(self) -> None:
        """
        Row K6: the head counts, too.
        """
        pipeline, client = await self.make()
        self.failureResultOf(pipeline.ask("a", b"x" * 91, b"h" * 10), TooLargeError)
        self.assertEqual(client.written(), b"")
        pipeline.ask("a", b"x" * 90, b"h" * 10).addErrback(lambda _: None)
        self.assertIn(b" 10 100\r\n", client.written())

    async def test_too_much(self) -> None:
        """
        A server that does not answer gets only so much.
        """
        self.patch(module, "MOST_BYTES", 100)
        pipeline, client = await self.make()
        first = pipeline.ask("a", b"x" * 60)
        self.failureResultOf(pipeline.ask("b", b"x" * 60), UnavailableError)
        await self.hear(client, 1)
        await first
        pipeline.ask("b", b"x" * 60).addErrback(lambda _: None)
        self.assertEqual(len(pipeline), 1)

    async def test_cancelled(self) -> None:
        """
        Whoever cancels, waits no longer.
        """
        pipeline, client = await self.make()
        asked = pipeline.ask("a", b"1")
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        await self.hear(client, 1)
        self.assertEqual((len(pipeline), pipeline.waiting), (0, 0))

    async def test_drained(self) -> None:
        """
        Row K16: who wants to end waits for answers, but not for ever.
        """
        pipeline, client = await self.make()
        await self.do(pipeline.drain(5))
        asked = pipeline.ask("a")
        drained = self.do(pipeline.drain(5))
        await self.do(asyncio.sleep(0.01))
        self.assertNoResult(drained)
        await self.hear(client, 1)
        await asked
        await drained
        pipeline.ask("b").addErrback(lambda _: None)
        await self.do(pipeline.drain(0.01))
        self.assertEqual(len(pipeline), 1)

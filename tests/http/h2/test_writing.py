"""
Tests for L{siger.http.h2.writing}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hyperframe.frame
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.h2.constants import CONTINUATION, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE
from siger.http.h2.writing import Batch, Outlet
from tests.http.fakes import FakeTransport
from tests.http.generators import properties
from tests.http.h2.frames import Frame, read_frames

STREAM = b"\0\0\x01\x05"


class Transport(FakeTransport):
    """
    A transport that keeps writes apart.
    """

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.on_write: Callable[[], None] = lambda: None

    def write(self, data: bytes) -> None:
        """
        Note it.
        """
        super().write(data)
        self.writes.append(data)
        self.on_write()


def make(batch: Batch | None = None) -> tuple[Outlet, Transport]:
    """
    An outlet, and what it writes to.
    """
    transport = Transport()
    return Outlet(batch or Batch(), transport), transport


def parsed(written: bytes) -> list[Any]:
    """
    Frames as Hyper's library reads them.
    """
    found = []
    while written:
        frame, length = hyperframe.frame.Frame.parse_frame_header(memoryview(written[:9]))
        frame.parse_body(memoryview(written[9 : 9 + length]))
        found.append(frame)
        written = written[9 + length :]
    return found


class OutletTests(SynchronousTestCase):
    """
    Tests for L{Outlet}.
    """

    def written(self, write: Callable[[Outlet], None]) -> Any:
        """
        The one frame that this writes.
        """
        outlet, transport = make()
        write(outlet)
        (frame,) = parsed(transport.written)
        return frame

    def test_headers(self) -> None:
        """
        A section is a frame, or ends its stream with it.
        """
        for size in (0, 5, 2047, 2048, 16384):
            for end in (False, True):
                frame = self.written(lambda outlet, size=size, end=end: outlet.write_headers(STREAM, b"x" * size, end))  # type: ignore[misc]
                self.assertEqual((frame.stream_id, frame.data), (261, b"x" * size))
                self.assertEqual(set(frame.flags), {"END_HEADERS", "END_STREAM"} if end else {"END_HEADERS"})

    @properties
    @given(st.integers(1, 100000), st.integers(16384, 30000), st.booleans())
    def test_long_headers(self, size: int, largest: int, end: bool) -> None:
        """
        A section that is longer than a frame may be is cut, and only the last frame says that it is complete.
        """
        outlet, transport = make()
        outlet.peer_max_frame = largest
        block = bytes(count % 251 for count in range(size))
        outlet.write_headers(STREAM, block, end)
        frames = read_frames(transport.written)
        self.assertEqual(b"".join(frame.payload for frame in frames), block)
        self.assertLessEqual(max(len(frame.payload) for frame in frames), largest)
        self.assertEqual({frame.stream for frame in frames}, {261})
        self.assertEqual([frame.kind for frame in frames], [HEADERS] + [CONTINUATION] * (len(frames) - 1))
        self.assertEqual([bool(frame.flags & END_HEADERS) for frame in frames], [False] * (len(frames) - 1) + [True])
        self.assertEqual(bool(frames[0].flags & END_STREAM), end)
        self.assertFalse(any(frame.flags & ~END_HEADERS for frame in frames[1:]))

    def test_data(self) -> None:
        """
        So is a piece of a body.
        """
        for size in (0, 5, 2047, 2048, 4095, 4096, 16384):
            for end in (False, True):
                frame = self.written(lambda outlet, size=size, end=end: outlet.write_data(STREAM, b"x" * size, end))  # type: ignore[misc]
                self.assertEqual((frame.stream_id, frame.data), (261, b"x" * size))
                self.assertEqual(set(frame.flags), {"END_STREAM"} if end else set())

    def test_others(self) -> None:
        """
        The other frames are what another library reads them as.
        """
        reset = self.written(lambda outlet: outlet.write_reset(STREAM, 8))
        self.assertEqual((type(reset), reset.stream_id, reset.error_code), (hyperframe.frame.RstStreamFrame, 261, 8))
        update = self.written(lambda outlet: outlet.write_window_update(STREAM, 2**31 - 1))
        self.assertEqual((update.stream_id, update.window_increment), (261, 2**31 - 1))
        settings = self.written(lambda outlet: outlet.write_settings({INITIAL_WINDOW_SIZE: 5, 1: 2**32 - 1}))
        self.assertEqual((settings.settings, set(settings.flags)), ({4: 5, 1: 2**32 - 1}, set()))
        self.assertEqual(set(self.written(lambda outlet: outlet.write_settings_ack()).flags), {"ACK"})
        ping = self.written(lambda outlet: outlet.write_ping_ack(b"01234567"))
        self.assertEqual((ping.opaque_data, set(ping.flags)), (b"01234567", {"ACK"}))
        goaway = self.written(lambda outlet: outlet.write_goaway(7, 11, b"calm"))
        self.assertEqual((goaway.last_stream_id, goaway.error_code, goaway.additional_data), (7, 11, b"calm"))

    def test_nothing(self) -> None:
        """
        Nothing is written where there is nothing.
        """
        outlet, transport = make()
        outlet.flush()
        self.assertEqual(transport.writes, [])


class BatchTests(SynchronousTestCase):
    """
    Tests for L{Batch}.
    """

    def setUp(self) -> None:
        """
        Have two connections that share one.
        """
        self.later: list[Callable[[], None]] = []
        self.batch = Batch(self.later.append)
        self.outlet, self.transport = make(self.batch)
        self.other, self.other_transport = make(self.batch)

    def frames(self) -> list[list[Frame]]:
        """
        What the first has written, write by write.
        """
        return [read_frames(written) for written in self.transport.writes]

    def test_at_once(self) -> None:
        """
        What comes of no read is written at once where nobody knows of better times.
        """
        outlet, transport = make()
        outlet.write_settings_ack()
        outlet.write_ping_ack(b"01234567")
        self.assertEqual(len(transport.writes), 2)

    def test_at_the_end_of_the_moment(self) -> None:
        """
        Else it is, when all reads of the moment have been dealt with.
        """
        self.outlet.write_settings_ack()
        self.outlet.write_ping_ack(b"01234567")
        self.other.write_settings_ack()
        self.assertEqual((self.transport.writes, len(self.later)), ([], 1))
        self.later.pop()()
        self.assertEqual([len(frames) for frames in self.frames()], [2])
        self.assertEqual(len(self.other_transport.writes), 1)

    def test_together(self) -> None:
        """
        What comes of one is written when it has been dealt with, all of it in one write for each connection.
        """
        self.batch.enter()
        self.outlet.write_headers(STREAM, b"x", False)
        self.other.write_settings_ack()
        self.outlet.write_data(STREAM, b"y" * 5000, True)
        self.assertEqual((self.transport.writes, self.other_transport.writes), ([], []))
        self.batch.leave()
        self.assertEqual([[frame.name for frame in frames] for frames in self.frames()], [["HEADERS", "DATA"]])
        self.assertEqual(len(self.other_transport.writes), 1)

    def test_nested(self) -> None:
        """
        A read within a read belongs to it.
        """
        self.batch.enter()
        self.batch.enter()
        self.outlet.write_settings_ack()
        self.batch.leave()
        self.assertEqual(self.transport.writes, [])
        self.batch.leave()
        self.assertEqual(len(self.transport.writes), 1)

    def test_flushed_meanwhile(self) -> None:
        """
        Who writes everything before its turn has nothing to write then.
        """
        self.batch.enter()
        self.outlet.write_settings_ack()
        self.outlet.flush()
        self.outlet.write_ping_ack(b"01234567")
        self.batch.leave()
        self.assertEqual([[frame.name for frame in frames] for frames in self.frames()], [["SETTINGS"], ["PING"]])

    def test_more_by_writing(self) -> None:
        """
        What writing itself leads to is written as well.
        """
        batch = Batch()
        outlet, transport = make(batch)
        other, other_transport = make(batch)
        other_transport.on_write = outlet.write_settings_ack
        batch.enter()
        other.write_settings_ack()
        batch.leave()
        self.assertEqual(len(transport.writes), 1)

    def test_patient(self) -> None:
        """
        Connections that many reads write to wait for all of these.
        """
        self.outlet.patient = True
        for _ in range(3):
            self.batch.enter()
            self.outlet.write_settings_ack()
            self.batch.leave()
        self.assertEqual((self.transport.writes, len(self.later)), ([], 1))
        self.later.pop()()
        self.assertEqual([len(frames) for frames in self.frames()], [3])
        self.outlet.write_settings_ack()
        self.assertEqual(len(self.later), 1)
        self.later.pop()()
        self.assertEqual(len(self.transport.writes), 2)

    def test_patient_without_anybody(self) -> None:
        """
        Where nobody knows when that is, they do not.
        """
        outlet, transport = make(Batch())
        outlet.patient = True
        outlet.write_settings_ack()
        self.assertEqual(len(transport.writes), 1)

"""
Tests for L{siger.observe.sink}.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from siger.observe.sink import FileSink


class FileSinkTests(SynchronousTestCase):
    """
    Tests for L{FileSink} over real files and pipes.
    """

    def setUp(self) -> None:
        """
        A directory to write in.
        """
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name, "access.log")

    def opened(self, target: str | int, max_waiting: int = 1 << 20) -> FileSink:
        """
        A started sink that is closed after the test.
        """
        sink = FileSink(target, max_waiting)
        sink.open()
        self.addCleanup(sink.close)
        return sink

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """
        Let the sink's thread come to something.
        """
        deadline = time.monotonic() + 10
        while not condition():
            self.assertLess(time.monotonic(), deadline, "the sink's thread did not come to it")
            time.sleep(0.002)

    def test_batches_are_appended_in_order(self) -> None:
        """
        Batches follow what the file has and each other.
        """
        self.path.write_bytes(b"old\n")
        sink = self.opened(str(self.path))
        for number in range(100):
            sink.write(b"%d\n" % number, 1)
        sink.close()
        self.assertEqual(self.path.read_bytes(), b"old\n" + b"".join(b"%d\n" % number for number in range(100)))
        self.assertEqual((sink.dropped, sink.failure), (0, ""))

    def test_file_is_private(self) -> None:
        """
        Others on the machine cannot read the file: it says who asked for what.
        """
        self.opened(str(self.path))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode) & 0o007, 0)

    def test_open_fails_loudly(self) -> None:
        """
        A path that cannot be opened is an error at the start, not a silent loss later.
        """
        self.path.write_bytes(b"")
        self.assertRaises(OSError, FileSink(str(self.path / "below-a-file")).open)

    def test_reopen_follows_rotation(self) -> None:
        """
        After the file was renamed and the sink told so, the old file has what came before and a new one the rest.
        """
        sink = self.opened(str(self.path))
        sink.write(b"before\n", 1)
        self.wait_for(lambda: self.path.read_bytes() != b"")
        rotated = self.path.rename(self.path.with_suffix(".1"))
        sink.write(b"between\n", 1)
        sink.reopen()
        sink.write(b"after\n", 1)
        sink.close()
        self.assertEqual(rotated.read_bytes(), b"before\nbetween\n")
        self.assertEqual(self.path.read_bytes(), b"after\n")

    def test_reopen_that_fails_keeps_the_old_file(self) -> None:
        """
        If the path cannot be opened again, the file that is open goes on being written.
        """
        sink = self.opened(str(self.path))
        rotated = self.path.rename(self.path.with_suffix(".1"))
        self.path.mkdir()
        sink.reopen()
        self.wait_for(lambda: sink.failure != "")
        self.assertIn("cannot reopen", sink.failure)
        sink.write(b"after\n", 1)
        sink.close()
        self.assertEqual(rotated.read_bytes(), b"after\n")

    def test_full_disk_loses_and_counts(self) -> None:
        """
        Where writing fails lines are lost and counted, the failure is told, and the next batch is tried again.
        """
        device = os.open("/dev/full", os.O_WRONLY)
        self.addCleanup(os.close, device)
        sink = self.opened(device)
        sink.write(b"one\ntwo\n", 2)
        self.wait_for(lambda: sink.dropped == 2)
        self.assertIn("No space left", sink.failure)
        sink.write(b"three\n", 1)
        self.wait_for(lambda: sink.dropped == 3)

    def test_reader_that_left_loses_and_counts(self) -> None:
        """
        A pipe whose reader is gone costs lines, not the process.
        """
        reader, writer = os.pipe()
        os.close(reader)
        self.addCleanup(os.close, writer)
        sink = self.opened(writer)
        sink.write(b"one\n", 1)
        self.wait_for(lambda: sink.dropped == 1)
        self.assertIn("Broken pipe", sink.failure)

    def test_stalled_reader_blocks_nobody_and_is_bounded(self) -> None:
        """
        While nobody reads the pipe, writing to the sink takes no time and no more memory than its bound; once somebody
        reads, what had been taken comes out whole.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        sink = self.opened(writer, max_waiting=1 << 20)
        batch = b"x" * 65535 + b"\n"
        begin = time.monotonic()
        for _ in range(40):
            sink.write(batch, 1)
        self.assertLess(time.monotonic() - begin, 1.0)
        self.assertEqual(sink.dropped, 40 - 16)
        received = b""
        while len(received) < 16 * len(batch):
            received += os.read(reader, 1 << 20)
        os.close(reader)
        self.assertEqual(received, batch * 16)

    def test_non_blocking_descriptor_is_waited_for(self) -> None:
        """
        A descriptor that somebody made non-blocking takes everything as soon as it is read.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        os.set_blocking(writer, False)
        sink = self.opened(writer)
        batch = b"x" * 199_999 + b"\n"
        sink.write(batch, 1)
        received = b""
        while len(received) < len(batch):
            received += os.read(reader, 1 << 20)
        self.assertEqual(received, batch)
        self.assertEqual(sink.dropped, 0)

    def test_non_blocking_descriptor_that_nobody_reads(self) -> None:
        """
        Patience with it ends: what it does not take is lost and counted.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        os.set_blocking(writer, False)
        sink = FileSink(writer, patience=0.01)
        sink.open()
        self.addCleanup(sink.close)
        sink.write(b"x" * 199_999 + b"\n", 1)
        self.wait_for(lambda: sink.dropped == 1)
        self.assertIn("temporarily unavailable", sink.failure)

    def test_torn_line_is_ended(self) -> None:
        """
        If a failure cut a line, the next batch begins on a line of its own.
        """
        sink = FileSink(str(self.path))
        chunks = [b'{"whole":1}\n{"cut"', b""]
        written: list[bytes] = []

        def write_some(data: bytes) -> int:
            if not chunks:
                written.append(data)
                return len(data)
            size = len(chunks.pop(0))
            if not size:
                raise OSError(28, "No space left on device")
            written.append(data[:size])
            return size

        sink._write_some = write_some  # type: ignore[method-assign]
        sink._write(b'{"whole":1}\n{"cut":2}\n{"lost":3}\n')
        self.assertEqual(sink.dropped, 2)
        sink._write(b'{"next":4}\n')
        self.assertEqual(b"".join(written), b'{"whole":1}\n{"cut"\n{"next":4}\n')
        self.assertEqual(sink.failure, "")

    def test_close_does_not_wait_for_ever(self) -> None:
        """
        A sink whose device hangs is left behind: the process can end.
        """
        reader, writer = os.pipe()
        sink = FileSink(writer)
        sink.open()
        sink.write(b"x" * 1_000_000 + b"\n", 1)
        begin = time.monotonic()
        sink.close(timeout=0.05)
        self.assertLess(time.monotonic() - begin, 2.0)
        os.close(reader)
        self.wait_for(lambda: sink.dropped == 1)
        os.close(writer)

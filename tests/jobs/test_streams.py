"""
Tests of L{siger.jobs.streams}.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import siger
from siger.jobs import streams
from siger.jobs.streams import differences, stream_configs, work_consumer, work_consumers

BAD = ["", "a b", "a.b", "*", ">", "a\r\nPUB b 1", "a\n", "ä", "a" * 65]
_ROOT = Path(siger.__file__).parent.parent
DAY = 86400 * 10**9


class ConfigTests(SynchronousTestCase):
    """
    What streams and consumers are like.
    """

    def test_queue(self) -> None:
        """
        Rows K7, K8: the queue refuses when it is full, forgets nothing because of its age, and keeps what nobody has
        acknowledged.
        """
        jobs = stream_configs(3, 7)[0]
        expected = {"retention": "workqueue", "discard": "new", "max_msgs": 1_000_000, "max_age": 0, "num_replicas": 3}
        self.assertEqual(jobs, {**jobs, **expected, "storage": "file", "duplicate_window": 120 * 10**9})

    def test_ages(self) -> None:
        """
        Events are kept as long as records, orders a day, what failed a month.
        """
        ages = {config["name"]: config["max_age"] for config in stream_configs(1, 9)}
        self.assertEqual(ages, {"JOBS": 0, "JOB_EVENTS": 9 * DAY, "JOB_CONTROL": DAY, "JOB_DLQ": 30 * DAY})

    def test_no_overlap(self) -> None:
        """
        Row K12: each subject belongs to one stream, and none to a stream of records.
        """
        subjects = [subject for config in stream_configs(1, 7) for subject in config["subjects"]]
        self.assertEqual(subjects, ["jobs.submit.*.*", "jobs.events.*", "jobs.control.*", "jobs.dlq.*"])
        self.assertNotIn(streams.ALIVE, subjects)

    def test_consumers(self) -> None:
        """
        There is a consumer for each lane of each type, which gives up no job.
        """
        consumers = work_consumers(["a", "b-c"], 30)
        names = [consumer["durable_name"] for consumer in consumers]
        self.assertEqual(
            names, [f"work-{type_}-{lane}" for type_ in ("a", "b-c") for lane in ("high", "normal", "low")]
        )
        self.assertEqual({consumer["max_deliver"] for consumer in consumers}, {-1})
        self.assertEqual(work_consumer("a", "low", 2.5)["ack_wait"], 2_500_000_000)
        self.assertEqual(work_consumer("a", "low", 2.5)["filter_subject"], "jobs.submit.a.low")

    def test_light(self) -> None:
        """
        Workers can read all of this without Twisted.
        """
        code = "import sys, siger.jobs.streams; sys.exit(any(name.startswith('twisted') for name in sys.modules))"
        ran = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, timeout=30, check=False)
        self.assertEqual(ran.returncode, 0)


class DifferencesTests(SynchronousTestCase):
    """
    What has to change.
    """

    def test_none(self) -> None:
        """
        Nothing, where all is as it should be, whatever else the server says.
        """
        for config in stream_configs(1, 7):
            self.assertEqual(differences({**config, "metadata": {}, "first_seq": 9}, config), {})

    def test_unsaid(self) -> None:
        """
        A server leaves out what is nothing.
        """
        config = stream_configs(1, 7)[0]
        said = {key: value for key, value in config.items() if value}
        self.assertEqual(differences(said, config), {})

    def test_changed(self) -> None:
        """
        What is different is named; what no server lets change is left alone.
        """
        config = stream_configs(3, 7)[0]
        found = {**config, "num_replicas": 1, "discard": "old", "retention": "limits", "storage": "memory"}
        self.assertEqual(differences(found, config), {"num_replicas": 3, "discard": "new"})


class SubjectTests(SynchronousTestCase):
    """
    What becomes part of a subject.
    """

    def test_subjects(self) -> None:
        """
        Everything has its place, which tells whose it is.
        """
        self.assertEqual(streams.submit_subject("ai_training", "high"), "jobs.submit.ai_training.high")
        self.assertEqual(streams.dead_subject("inference"), "jobs.dlq.inference")
        for make in (streams.event_subject, streams.control_subject, streams.alive_subject):
            self.assertEqual(streams.job_of(make("0193-a")), "0193-a")

    def test_bad(self) -> None:
        """
        Row K11: what is not one token, or could be more than one line, becomes part of no subject.
        """
        for word in BAD:
            for make in (streams.event_subject, streams.control_subject, streams.alive_subject, streams.dead_subject):
                self.assertRaises(ValueError, make, word)
            self.assertRaises(ValueError, streams.submit_subject, word, "high")
            self.assertRaises(ValueError, streams.submit_subject, "a", word)
            self.assertRaises(ValueError, work_consumer, word, "high", 1)

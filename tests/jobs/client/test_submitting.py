"""
Tests of L{siger.jobs.client.submitting}.
"""

from __future__ import annotations

import io
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.client.errors import TroubleError
from siger.jobs.client.submitting import LONGEST, document_of, parameter
from siger.jobs.commands import arrange_job


def made(*arguments: str, source: str = "") -> dict[str, Any]:
    """
    The document that arguments come to.
    """
    parser = ArgumentParser()
    arrange_job(parser)
    return document_of(parser.parse_args(["submit", *arguments]), io.StringIO(source))


class DocumentTests(SynchronousTestCase):
    """
    What is submitted.
    """

    def test_options(self) -> None:
        """
        Every member has an option; what is not said is left to the gateway.
        """
        self.assertEqual(made("--name", "x"), {"name": "x"})
        options = ["--type", "inference", "--name", "n", "--description", "d", "--gpu-type", "L4", "--gpus", "0"]
        options += [
            "--priority",
            "0",
            "--max-retries",
            "0",
            "--timeout",
            "5",
            "--tag",
            "a",
            "--tag",
            "b",
            "--param",
            "x=1",
        ]
        self.assertEqual(
            made(*options),
            {
                "type": "inference",
                "name": "n",
                "description": "d",
                "gpu_type": "L4",
                "gpu_count": 0,
                "priority": 0,
                "max_retries": 0,
                "timeout": 5,
                "tags": ["a", "b"],
                "params": {"x": 1},
            },
        )

    def test_file(self) -> None:
        """
        A file is sent as it is, with unknown members, which are the gateway's to refuse.
        """
        path = Path(self.mktemp())
        path.write_text('{"name": "é", "colour": [1, 5e-5]}')
        self.assertEqual(made(str(path)), {"name": "é", "colour": [1, 5e-5]})

    def test_both(self) -> None:
        """
        Options change what is in the file; parameters and tags are added.
        """
        text = '{"name": "a", "priority": 1, "params": {"x": 1, "y": 2}, "tags": ["a"]}'
        found = made("-", "--priority", "9", "--param", "y=3", "--param", "z=4", "--tag", "b", source=text)
        expected = {"name": "a", "priority": 9, "params": {"x": 1, "y": 3, "z": 4}, "tags": ["a", "b"]}
        self.assertEqual(found, expected)

    def test_wrong(self) -> None:
        """
        What is no JSON object, or not read by everybody alike, is told with its place.
        """
        for text, message in [
            ('{"a":\n x}', "standard input:2:2: no JSON: Expecting value"),
            ("[]", "standard input: no JSON object"),
            ('{"a": 1, "a": 2}', "two members of the same name"),
            ('{"a": NaN}', "NaN is no number"),
            ('{"a": 1e999}', "a number is too large"),
            ("[" * 100_000, "standard input: no JSON"),
            (" " * (LONGEST + 1), "far too long"),
        ]:
            with self.assertRaisesRegex(TroubleError, message):
                made("-", source=text)
        for options, text in [(("--param", "a=1"), '{"params": []}'), (("--tag", "a"), '{"tags": {}}')]:
            with self.assertRaisesRegex(TroubleError, "adds nothing to it"):
                made("-", *options, source=text)

    def test_no_file(self) -> None:
        """
        A file that cannot be read is told.
        """
        with self.assertRaisesRegex(TroubleError, "^/no/such cannot be read: No such file"):
            made("/no/such")
        path = Path(self.mktemp())
        path.write_bytes(b"\xff")
        with self.assertRaisesRegex(TroubleError, "no text in UTF-8"):
            made(str(path))


class ParameterTests(SynchronousTestCase):
    """
    C{--param}.
    """

    def test_values(self) -> None:
        """
        A value is JSON where it can be, and otherwise text, so that nobody has to quote twice.
        """
        for text, expected in [
            ("a=1", 1),
            ("a=5e-5", 5e-5),
            ("a=true", True),
            ("a=null", None),
            ('a="1"', "1"),
            ('a={"b": [1]}', {"b": [1]}),
            ("a=bert-base", "bert-base"),
            ("a=s3://b/c=d", "s3://b/c=d"),
            ("a=", ""),
            ("a=NaN", "NaN"),
            ("a=1e999", "1e999"),
        ]:
            self.assertEqual(parameter(text), ("a", expected))

    def test_no_name(self) -> None:
        """
        Without a name, or a value, it is none.
        """
        for text in ("a", "=1", ""):
            with self.assertRaises(ValueError):
                parameter(text)

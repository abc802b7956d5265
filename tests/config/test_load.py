"""
Tests of L{siger.config.load}.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.config.load import MAX_BYTES, ConfigErrors, load
from siger.config.settings.accounts import IssuerSettings, JwtKey, PublicKey, SeedUser
from siger.config.settings.admission import Cors, RateLimit
from siger.config.settings.gateway import Settings
from siger.config.settings.nats import NatsSettings
from tests.config.reading import errors_of, loaded, rows

MISTAKES = [
    ("port: {i}x", "port: "),
    ("log_level: loud", "log_level: "),
    ("unknown_{i}: 1", "unknown_{i}: unknown key"),
    ("drain_timeout: ${{NO_{i}}}", "drain_timeout: the variable NO_{i} is not set"),
    ("jwt_expiration: 0", "jwt_expiration: "),
    ("workers: 2", "workers: several"),
    ("limits: {{header_count: 1}}", "limits.header_count: "),
    ("data_dir: !!str x", "tags (!...) are not allowed"),
    ("services: {{UPPER: {{}}}}", "services.UPPER: "),
    ("routes: [{{path: /, service: no-such}}]", "routes[0].service: "),
    ("rate_limit: {{requests_per_second: 0}}", "rate_limit.requests_per_second: "),
    ("cors: {{origins: ['null']}}", "cors.origins[0]: "),
    ("jwt_keys: [{{kid: a, secret: short}}]", "jwt_keys[0].secret: "),
    ("issuers: [{{issuer: a}}]", "issuers[0]: "),
    ("nats: {{replicas: 0}}", "nats.replicas: "),
    ("roles: [A]", "roles[0]: "),
    ("proxy_protocol: [x]", "proxy_protocol[0]: "),
]
YAML_BITS = st.sampled_from(
    [
        *(
            "port",
            "services",
            "echo",
            ":",
            ": ",
            "\n",
            "  ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            "${",
            "$${",
            "}",
            "off",
            "&a",
            "*a",
        ),
        *(
            "<<",
            "!!str",
            "!",
            "'",
            '"',
            "|",
            ">",
            "#",
            "%YAML 1.1\n",
            "---\n",
            "...\n",
            "\\",
            "\t",
            "\r",
            "\x85",
            "~",
            "1e9",
        ),
    ]
)
WORDS = st.sampled_from([*Settings.__slots__, "port", "echo", "path", "service", "off", "x", "8080", "", "h:1"])
PARTS = (RateLimit, Cors, JwtKey, PublicKey, IssuerSettings, NatsSettings, SeedUser)
FIELDS = st.sampled_from(["public_key", *(field for part in PARTS for field in attrs.fields_dict(part))])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), WORDS)


def trees() -> st.SearchStrategy[Any]:
    """
    Whatever YAML can say, with keys that mean something now and then.
    """
    keys = st.one_of(WORDS, st.text(max_size=5), st.integers(), st.booleans())
    return st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
    )


def parts() -> st.SearchStrategy[Any]:
    """
    Entries of the sections that have many keys of their own, and lists of them, right or wrong.
    """
    value = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(WORDS, SCALARS, max_size=2))
    entry = st.dictionaries(FIELDS, value, max_size=5)
    nested = st.dictionaries(FIELDS, st.one_of(value, st.lists(entry, max_size=2)), max_size=5)
    return st.one_of(nested, st.lists(nested, max_size=2))


class LoadTests(SynchronousTestCase):
    """
    A file becomes settings, or all of its errors.
    """

    def setUp(self) -> None:
        """
        Make a place for a file.
        """
        self.path = Path(self.mktemp())

    def errors(self, content: bytes) -> list[str]:
        """
        The errors of a file with this content, less its name.
        """
        self.path.write_bytes(content)
        with self.assertRaises(ConfigErrors) as raised:
            load(self.path, {})
        return [row.removeprefix(str(self.path)) for row in rows(raised.exception)]

    def test_missing(self) -> None:
        """
        A file that is not there, or cannot be read, is an error; none is made.
        """
        for path, reason in [
            (self.path, "No such file or directory"),
            (Path("/"), "Is a directory"),
            (Path("a\0b"), "embedded null byte"),
        ]:
            with self.assertRaises(ConfigErrors) as raised:
                load(path, {})
            self.assertEqual(f"{path}: cannot be read: {reason}", str(raised.exception))
        self.assertFalse(self.path.exists())

    def test_size(self) -> None:
        """
        A file of a mebibyte is read, and one that is larger is not.
        """
        self.path.write_bytes(b"port: 9\n#".ljust(MAX_BYTES, b"x"))
        self.assertEqual(9, load(self.path, {}).listen.port)
        self.assertEqual([": is larger than 1048576 bytes"], self.errors(b"#" * (MAX_BYTES + 1)))

    def test_encoding(self) -> None:
        """
        It is UTF-8; the line of the first byte that is not is named.
        """
        self.assertEqual([":3: is not UTF-8 text"], self.errors(b"port: 1\n\n# \xff\n"))
        self.assertEqual([":1: is not UTF-8 text"], self.errors("port: 1".encode("utf-16")))
        self.path.write_bytes(b"\xef\xbb\xbfport: 9")
        self.assertEqual(9, load(self.path, {}).listen.port)

    def test_no_keys(self) -> None:
        """
        A file that is no mapping is an error.
        """
        for content in (b"[a]", b"a", b"5", b"# x\n- a"):
            self.assertEqual(1, len(self.errors(content)))
            self.assertIn("expected keys and their values", self.errors(content)[0])

    def test_syntax(self) -> None:
        """
        What is no YAML is an error by itself.
        """
        self.assertEqual(
            [":2: not YAML"], [row.partition(": ")[0] + ": not YAML" for row in self.errors(b"a: 1\nb: [")]
        )

    def test_bomb(self) -> None:
        """
        The billion laughs are not laughed.
        """
        lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
        (error,) = self.errors("\n".join(lines).encode())
        self.assertIn("more than 100000 values", error)

    def test_python_objects(self) -> None:
        """
        No Python object is ever made.
        """
        made = self.path.with_name("made")
        content = f"port: !!python/object/apply:os.mkdir [{made}]\n"
        self.assertIn(":1: tags (!...) are not allowed", self.errors(content.encode()))
        self.assertFalse(made.exists())

    def test_nothing_written(self) -> None:
        """
        Reading leaves the directory as it is.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        file = directory / "config.yaml"
        file.write_text(f"data_dir: {directory}/data\naccess_log: {directory}/log\n")
        load(file, {})
        self.assertEqual(["config.yaml"], os.listdir(directory))

    def test_advice_on_secrets(self) -> None:
        """
        Where accounts are shared through NATS, a secret that only this gateway knows deserves a warning.
        """
        long = "0123456789abcdef-0123456789abcdef"
        advice = "jwt_secret: is not set, so other gateways do not know the random secret that this one makes and keeps"
        for text, warnings in [
            ("nats_address: n", (advice,)),
            ("nats_address: embedded", ()),
            ("nats_address: ''", ()),
            (f"nats_address: n\njwt_secret: {long}", ()),
            (f"nats_address: n\njwt_keys: [{{kid: a, secret: {long}}}]", ()),
        ]:
            self.assertEqual(warnings, loaded(text).warnings, text)
        self.assertEqual(1, len(loaded("nats_address: n\njwt_secret: changeme").warnings))

    def test_advice_on_networks(self) -> None:
        """
        A network of everybody lets clients choose their address, through either door.
        """
        for key in ("trusted_proxies", "proxy_protocol"):
            warning = f"{key}: ::/0 trusts every client to say which address it has"
            self.assertEqual((warning,), loaded(f"{key}: [10.0.0.0/8, '::/0']").warnings)

    def test_all_at_once(self) -> None:
        """
        Errors of every kind come together: structure, aliases, variables, expansion, values, references, support.
        """
        text = (
            "port: 1\nport: 2\nlogLevel: info\nlog_level: info\ndata_dir: ${NO}\nprot: 1\nworkers: 2\n"
            "services:\n  a:\n    balancer: x\n    protocol: h3\nroutes:\n  - {path: /, service: b}\n"
        )
        found = [row.partition(": ")[0] for row in errors_of(text, {"SIGER_X": "1"})]
        lines = [2, 3, 5, 6, 7, 10, 11, 13]
        self.assertEqual(["SIGER_X"] + [f"config.yaml:{line}" for line in lines], found)


class AnythingTests(SynchronousTestCase):
    """
    Whatever is read, there are settings or errors, never anything else.
    """

    def survives(self, text: str, environ: dict[str, str]) -> None:
        """
        Read a text; every error is one printable line.
        """
        try:
            self.assertIsInstance(loaded(text, environ), Settings)
        except ConfigErrors as errors:
            self.assertNotEqual((), errors.errors)
            for row in rows(errors):
                self.assertNotIn("\n", row)
                row.encode("utf-8")

    @settings(max_examples=200, deadline=None)
    @given(st.text())
    def test_text(self, text: str) -> None:
        """
        Any text.
        """
        self.survives(text, {"A": "x"})

    @settings(max_examples=400, deadline=None)
    @given(st.lists(st.one_of(YAML_BITS, st.text(max_size=4)), max_size=25).map("".join))
    def test_yaml_bits(self, text: str) -> None:
        """
        Any text of what means something to YAML.
        """
        self.survives(text, {"A": "x"})

    @settings(max_examples=400, deadline=None)
    @given(st.dictionaries(WORDS, trees(), max_size=6))
    def test_trees(self, tree: dict[str, Any]) -> None:
        """
        Any tree.
        """
        self.survives(yaml.safe_dump(tree, allow_unicode=True), {})

    @settings(max_examples=300, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["rate_limit", "cors", "jwt_keys", "issuers", "nats", "seed_users", "roles"]),
            parts(),
            min_size=1,
            max_size=3,
        )
    )
    def test_parts(self, tree: dict[str, Any]) -> None:
        """
        Any tree with keys that mean something where they stand.
        """
        self.survives(yaml.safe_dump(tree, allow_unicode=True), {})

    @settings(max_examples=300, deadline=None)
    @given(
        st.dictionaries(
            st.lists(WORDS.map(str.upper), min_size=1, max_size=4).map(lambda keys: "SIGER_" + "__".join(keys)),
            st.one_of(st.text(max_size=12), st.lists(YAML_BITS, max_size=8).map("".join)),
            max_size=4,
        )
    )
    def test_environment(self, environ: dict[str, str]) -> None:
        """
        Any environment.
        """
        self.survives("services: {echo: {instances: ['h:1']}}\nroutes: [{path: /, service: echo}]", environ)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=64))
    def test_bytes(self, content: bytes) -> None:
        """
        Any bytes.
        """
        path = Path(self.mktemp())
        path.write_bytes(content)
        try:
            load(path, {})
        except ConfigErrors as errors:
            self.assertNotEqual((), errors.errors)
        finally:
            path.unlink()

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(st.sampled_from(range(len(MISTAKES))), unique=True),
        st.lists(st.integers(0, 3), min_size=len(MISTAKES)),
    )
    def test_every_line(self, chosen: list[int], gaps: list[int]) -> None:
        """
        Of any mistakes together in a file, each one is reported once, at its own line.
        """
        lines: list[str] = []
        expected = []
        for i, gap in zip(chosen, gaps, strict=False):
            lines += ["# nothing" if gap % 2 else ""] * gap
            lines.append(MISTAKES[i][0].format(i=i))
            expected.append((len(lines), MISTAKES[i][1].format(i=i)))
        found = errors_of("\n".join(lines))
        self.assertEqual(len(chosen), len(found), found)
        for (line, message), row in zip(expected, found, strict=True):
            self.assertTrue(row.startswith(f"config.yaml:{line}: {message}"), (row, message))

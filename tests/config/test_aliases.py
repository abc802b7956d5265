"""
Tests of L{siger.config.aliases}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.addresses import Address, Listen
from siger.config.settings.admission import Cors
from tests.config.reading import errors_of, loaded

OLD = """\
port: ":8080"
consulAddress: "localhost:8500"
natsAddress: "localhost:4222"
logLevel: "debug"
jwtSecret: "0123456789abcdef0123456789abcdef"
jwtExpiration: 90
corsAllowed:
  origins: ["*"]
  methods: ["GET", "POST"]
  headers: ["Content-Type"]
"""


class AliasTests(SynchronousTestCase):
    """
    Files of the older gateway are understood.
    """

    def test_whole_file(self) -> None:
        """
        Every key of theirs arrives.
        """
        found = loaded(OLD)
        self.assertEqual((Listen("", 8080), Address("localhost", 8500)), (found.listen, found.consul_address))
        self.assertEqual(("localhost:4222", "debug", 90), (found.nats_address, found.log_level, found.jwt_expiration))
        self.assertEqual("0123456789abcdef0123456789abcdef", found.jwt_secret)
        self.assertEqual(Cors(("*",), ("GET", "POST"), ("Content-Type",)), found.cors)

    def test_both(self) -> None:
        """
        A key in both spellings is an error, whichever comes first.
        """
        message = "logLevel: is another spelling of log_level, which line {} sets too"
        self.assertEqual([f"config.yaml:2: {message.format(1)}"], errors_of("log_level: info\nlogLevel: info"))
        self.assertEqual([f"config.yaml:1: {message.format(2)}"], errors_of("logLevel: info\nlog_level: info"))

    def test_line(self) -> None:
        """
        An error in an alias is shown where it stands.
        """
        self.assertEqual("config.yaml:2", errors_of("\nlogLevel: loud")[0].partition(": ")[0])

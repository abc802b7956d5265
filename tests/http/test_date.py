"""
Tests for L{siger.http.date}.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from time import time

from twisted.trial.unittest import SynchronousTestCase

from siger.http.date import date_line


class DateLineTests(SynchronousTestCase):
    """
    Tests for L{date_line}.
    """

    def test_form(self) -> None:
        """
        It is a field line with a date of the one form that RFC 9110 section 5.6.7 lets be made.
        """
        self.assertRegex(
            date_line(), rb"\ADate: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT\r\n\Z"
        )

    def test_now(self) -> None:
        """
        The date is that of this second.
        """
        before = int(time())
        said = parsedate_to_datetime(date_line()[6:-2].decode()).timestamp()
        self.assertTrue(before <= said <= time())

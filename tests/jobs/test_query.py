"""
Tests of L{siger.jobs.query}.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.model import STATES, Job
from siger.jobs.query import EVERYBODY, Query, QueryError, cursor_of, parse_query, read_cursor
from siger.jobs.times import timestamp
from tests.jobs.making import JOB_ID, job

TYPES = ("ai_training", "inference")


def asked(text: str, admin: bool = False) -> Query:
    """
    What a query string asks for, for user 1; blanks are between parameters.
    """
    arguments: dict[bytes, list[bytes]] = {}
    for parameter in text.encode().split():
        name, _, value = parameter.partition(b"=")
        arguments.setdefault(name, []).append(value)
    return parse_query(arguments, TYPES, "1", admin)


def faults_of(text: str, admin: bool = False) -> list[tuple[str, str]]:
    """
    What is wrong with a query string.
    """
    try:
        asked(text, admin)
    except QueryError as error:
        return error.faults
    return []


class ParseTests(SynchronousTestCase):
    """
    Parameters are read.
    """

    def test_none(self) -> None:
        """
        Without any, it is the first page of one's own jobs.
        """
        self.assertEqual(Query("1", limit=50), asked(""))
        self.assertEqual(Query("1", limit=50), asked("", admin=True))

    def test_every_parameter(self) -> None:
        """
        Each sets its field.
        """
        cursor = cursor_of(job())
        for text, expected in [
            ("status=queued", Query("1", statuses=frozenset(["queued"]))),
            (
                "status=queued,failed status=completed",
                Query("1", statuses=frozenset(["queued", "failed", "completed"])),
            ),
            ("type=inference", Query("1", types=frozenset(["inference"]))),
            ("type=no_longer_configured", Query("1", types=frozenset(["no_longer_configured"]))),
            ("tag=a tag=team:b/c", Query("1", tags=frozenset(["a", "team:b/c"]))),
            ("created_after=2027-01-31T12:00:00Z", Query("1", created_after="2027-01-31T12:00:00.000Z")),
            ("created_before=2027-01-31T12:00:00.5+02:00", Query("1", created_before="2027-01-31T10:00:00.500Z")),
            ("limit=1", Query("1", limit=1)),
            ("limit=500", Query("1", limit=500)),
            (f"cursor={cursor}", Query("1", after=(timestamp(1000), JOB_ID))),
            ("owner=1", Query("1")),
        ]:
            self.assertEqual(expected, asked(text), text)

    def test_blank_for_plus(self) -> None:
        """
        The offset of a time may have lost its plus sign on the way.
        """
        found = parse_query({b"created_after": [b"2027-01-31T12:00:00 01:00"]}, TYPES, "1")
        self.assertEqual("2027-01-31T11:00:00.000Z", found.created_after)

    def test_owner(self) -> None:
        """
        Row K14: admins alone may ask for others' jobs, or everybody's.
        """
        self.assertEqual(("2", None), (asked("owner=2", True).owner, asked(f"owner={EVERYBODY}", True).owner))
        for text in ("owner=2", f"owner={EVERYBODY}", "owner="):
            self.assertEqual([("owner", "is for admins")], faults_of(text))
        self.assertEqual(1, len(faults_of("owner=", True)))

    def test_bad_values(self) -> None:
        """
        Each refuses what it cannot be, and repeats nothing of it.
        """
        time, limit = "must be a time as in RFC 3339, 2027-01-31T12:00:00Z", "must be a whole number from 1 to 500"
        cursor = "must be the next_cursor of an earlier page"
        for text, name, message in [
            ("status=hush", "status", f"must be one of {', '.join(STATES)}"),
            ("status=", "status", f"must be one of {', '.join(STATES)}"),
            ("status=queued,", "status", f"must be one of {', '.join(STATES)}"),
            ("status=hush,hush status=hush", "status", f"must be one of {', '.join(STATES)}"),
            ("type=a.b", "type", "must be a type of jobs, as ai_training, inference"),
            ("tag=é", "tag", "must be 1 to 64 characters of A-Z, a-z, 0-9 and _ . : / -"),
            ("tag=" + ",".join("a" * 51), "tag", "must not have more than 50 values"),
            ("created_after=yesterday", "created_after", time),
            ("created_before=2027-01-31", "created_before", time),
            *(
                (f"limit={value}", "limit", limit)
                for value in ("", "0", "501", "-1", "+1", "1.0", "1e1", "٣", "9" * 99)
            ),
            *((f"cursor={value}", "cursor", cursor) for value in ("", "x", "!", "A" * 300)),
            ("limit=1 limit=1", "limit", "must not come more than once"),
            ("statuses=queued", "statuses", "is not a parameter of this list"),
        ]:
            self.assertEqual([(name, message)], faults_of(text), text)

    def test_bytes(self) -> None:
        """
        What is not in UTF-8 is a fault; the name of a parameter is repeated only as far as it can be shown.
        """
        with self.assertRaises(QueryError) as raised:
            parse_query({b"limit": [b"\xff"], b"\x00\r\n" + b"x" * 99: [b""]}, TYPES, "1")
        self.assertEqual(
            [("limit", "must be in UTF-8"), ("???" + "x" * 37, "is not a parameter of this list")],
            raised.exception.faults,
        )

    def test_all_at_once(self) -> None:
        """
        All faults are told together.
        """
        found = faults_of("status=x limit=0 colour=red")
        self.assertEqual(["status", "limit", "colour"], [name for name, _ in found])

    @given(
        st.dictionaries(
            st.sampled_from([b"status", b"type", b"tag", b"limit", b"cursor", b"created_after", b"owner"])
            | st.binary(max_size=4),
            st.lists(st.binary(max_size=30) | st.text("0123456789-:TZ.", max_size=25).map(str.encode), max_size=3),
        ),
        st.booleans(),
    )
    def test_anything(self, arguments: dict[bytes, list[bytes]], admin: bool) -> None:
        """
        Whatever comes, it is a query or it has faults.
        """
        try:
            found = parse_query(arguments, TYPES, "1", admin)
        except QueryError as error:
            self.assertTrue(error.faults)
            return
        self.assertTrue(1 <= found.limit <= 500)
        self.assertTrue(admin or found.owner == "1")


class CursorTests(SynchronousTestCase):
    """
    Cursors.
    """

    def test_round_trip(self) -> None:
        """
        A cursor names a job, and fits into a URL as it is.
        """
        for one in (job(), job(job_id="A-1"), job(job_id="z" * 64)):
            self.assertEqual(one.key, read_cursor(cursor_of(one)))
            self.assertRegex(cursor_of(one), r"\A[A-Za-z0-9_-]+\Z")

    def test_forged(self) -> None:
        """
        What is no cursor is told.
        """
        for content in (
            *(b"", b"null", b"[]", b'["a"]', b'["2027-01-01T00:00:00.000Z"]', b'["2027-01-01T00:00:00.000Z", 1]'),
            *(b'["2027-01-01T00:00:00Z", "a"]', b'["2027-01-01T00:00:00.000Z", "a b"]', b"{}", b"\xff", b"[" * 99),
        ):
            self.assertRaises(ValueError, read_cursor, urlsafe_b64encode(content).rstrip(b"=").decode())
        for text in ("A", "====", "é", " ", "\n", cursor_of(job()) + "\n"):
            self.assertRaises(ValueError, read_cursor, text)


def page(jobs: list[Job], query: Query) -> list[Job]:
    """
    A page, read the slow way.
    """
    found = [one for one in jobs if query.matches(one) and query.reaches(one)]
    return sorted(found, key=lambda one: one.key, reverse=True)[: query.limit]


class QueryTests(SynchronousTestCase):
    """
    Which jobs.
    """

    def test_matches(self) -> None:
        """
        Each filter lets through what it names.
        """
        one = job(status="failed", tags=("a", "b"))
        for query in (
            *(Query(), Query("1"), Query(statuses=frozenset(["failed", "queued"]))),
            *(Query(types=frozenset(["ai_training"])), Query(tags=frozenset(["a"])), Query(tags=frozenset(["b", "a"]))),
            Query(created_after=timestamp(999.999), created_before=timestamp(1000.001)),
        ):
            self.assertTrue(query.matches(one), query)
        for query in (
            *(Query("2"), Query(statuses=frozenset(["queued"])), Query(types=frozenset(["inference"]))),
            *(Query(tags=frozenset(["c"])), Query(tags=frozenset(["a", "c"]))),
            *(Query(created_after=timestamp(1000)), Query(created_before=timestamp(1000))),
        ):
            self.assertFalse(query.matches(one), query)

    @given(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), unique=True, max_size=30),
        st.integers(1, 4),
        st.lists(st.tuples(st.integers(0, 5), st.integers(31, 60)), unique=True, max_size=10),
    )
    def test_pages(self, keys: list[tuple[int, int]], limit: int, later: list[tuple[int, int]]) -> None:
        """
        The pages together have every job once, the newest first, also when others come while somebody turns pages.
        """
        keys = list({number: (at, number) for at, number in keys}.values())
        jobs = [job(job_id=f"j{number:03}", submitted_at=timestamp(at)) for at, number in keys]
        coming = [job(job_id=f"j{number:03}", submitted_at=timestamp(at)) for at, number in later]
        query, seen = Query(limit=limit), list[Job]()
        while found := page(jobs, query):
            seen += found
            jobs += coming[:1]
            del coming[:1]
            query = evolve(query, after=read_cursor(cursor_of(found[-1])))
        self.assertEqual(sorted({one.key for one in seen}, reverse=True), [one.key for one in seen])
        self.assertLessEqual({f"j{number:03}" for _, number in keys}, {one.job_id for one in seen})

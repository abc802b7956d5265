"""
Tests for L{siger.policy.identity}.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from time import time
from urllib.parse import unquote_to_bytes

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.policy.identity import Identity, IdentityCache

LATER = 2.0**40


def make(
    user_id: str = "1",
    token_id: str = "t",
    *,
    name: str = "alice",
    roles: tuple[str, ...] = ("user",),
    issued: float = 0.0,
    expires: float = LATER,
    issuer: str = "",
) -> Identity:
    """
    An identity that is good for long.
    """
    return Identity(user_id, name, roles, token_id, issued, expires, {}, issuer)


class IdentityTests(SynchronousTestCase):
    """
    Somebody is somebody.
    """

    def test_lines(self) -> None:
        """
        Backends are told the id, the name and the roles.
        """
        self.assertEqual(
            make("7", name="Al B", roles=("admin", "user")).lines,
            b"X-User-Id: 7\r\nX-User-Name: Al B\r\nX-User-Role: admin,user\r\n",
        )

    def test_issuer(self) -> None:
        """
        Of another issuer's user they are told whose it is, and the id that the issuer uses.
        """
        identity = make("7", issuer="https://id.example.com")
        self.assertEqual((identity.user_id, identity.subject), ("https://id.example.com 7", "7"))
        self.assertEqual(
            identity.lines,
            b"X-User-Id: 7\r\nX-User-Name: alice\r\nX-User-Role: user\r\nX-User-Issuer: https://id.example.com\r\n",
        )
        self.assertEqual(identity.logged, b"https://id.example.com 7")

    def test_other_scripts(self) -> None:
        """
        What is not ASCII is percent-encoded, and so is the percent sign, so that it can be told again.
        """
        self.assertIn(b"X-User-Name: Zo%C3%AB 100%25\r\n", make(name="Zoë 100%").lines)
        self.assertIn(b"X-User-Name: 100%25\r\n", make(name="100%").lines)

    @settings(max_examples=300)
    @given(*(st.text(st.characters(exclude_categories=()), max_size=20) for _ in range(3)))
    def test_injection(self, user_id: str, name: str, issuer: str) -> None:
        """
        Row A31: whatever an id, a name or an issuer is, it makes no line of its own, and what is said of it is what it
        was but for spaces around it.
        """
        lines = make(user_id, name=name, issuer=issuer).lines
        self.assertRegex(lines, rb"\A(X-User-(Id|Name|Role|Issuer): [ -~]*\r\n){3,4}\Z")
        said = [line.partition(b": ")[2] for line in lines.split(b"\r\n")]
        for text, value in ((user_id, said[0]), (name, said[1]), (issuer, said[3])):
            self.assertEqual(unquote_to_bytes(value), text.encode("utf-8", "surrogatepass").strip(b" "))

    @given(st.text(st.characters(exclude_categories=()), max_size=20))
    def test_logged(self, user_id: str) -> None:
        """
        The id as it is logged is the inside of a JSON string.
        """
        self.assertEqual(json.loads(b'"%b"' % make(user_id).logged), user_id)

    def test_roles(self) -> None:
        """
        An identity may do what one of its roles may.
        """
        identity = make(roles=("trainer", "user"))
        self.assertTrue(identity.may(frozenset(("user", "x"))))
        self.assertTrue(identity.may(frozenset()))
        self.assertFalse(identity.may(frozenset(("x", "admin"))))
        self.assertEqual((identity.role, identity.is_admin), ("trainer", False))
        self.assertEqual(make(roles=()).role, "")

    def test_admin(self) -> None:
        """
        An administrator may do everything, whatever other roles it has.
        """
        identity = make(roles=("user", "admin"))
        self.assertTrue(identity.may(frozenset(("x",))))
        self.assertTrue(identity.is_admin)

    def test_similar_roles(self) -> None:
        """
        A role that only looks like the administrator's is another one.
        """
        for role in ("Admin", "admins", "admi", " admin", ""):
            self.assertFalse(make(roles=(role,)).is_admin)
            self.assertFalse(make(roles=(role,)).may(frozenset(("x",))))

    def test_repr(self) -> None:
        """
        It shows who it is, and nothing of the token.
        """
        self.assertEqual(repr(make(roles=("a", "b"))), "<Identity 1 a/b>")


class CacheTests(SynchronousTestCase):
    """
    Identities are remembered.
    """

    def setUp(self) -> None:
        self.cache = IdentityCache(capacity=3, most_bytes=30)

    def empty(self) -> None:
        """
        Assert that nothing is left behind.
        """
        self.assertEqual((len(self.cache), self.cache.size), (0, 0))
        self.assertEqual((self.cache._by_token, self.cache._by_user), ({}, {}))

    def test_found(self) -> None:
        """
        Row H9: what was kept is found under the very same credentials, and under no others.
        """
        identity = make()
        self.cache.keep(b"a", identity)
        self.assertIs(self.cache.find(b"a"), identity)
        for other in (b"", b"A", b"a ", b"aa"):
            self.assertIsNone(self.cache.find(other))
        self.assertEqual((self.cache.hits, self.cache.misses), (1, 4))

    def test_credentials_not_kept(self) -> None:
        """
        Row H9: the credentials themselves are not kept, only what does not lead back to them.
        """
        self.cache.keep(b"secret-token", make())
        kept = [*self.cache._entries, *self.cache._by_user["1"], *self.cache._by_token["t"]]
        self.assertEqual({len(one) for one in kept}, {32})

    def test_expired(self) -> None:
        """
        Row H9: what has expired is not found, and goes.
        """
        identity = make(expires=time() + 60)
        self.cache.keep(b"a", identity)
        self.assertIs(self.cache.find(b"a"), identity)
        identity.expires = time() - 0.001
        self.assertIsNone(self.cache.find(b"a"))
        self.empty()

    def test_capacity(self) -> None:
        """
        Row H9: when there are too many, the least recently used goes, and looks expired to whoever holds it.
        """
        kept = {name: make(name.decode(), name.decode()) for name in (b"a", b"b", b"c", b"d")}
        for name in (b"a", b"b", b"c"):
            self.cache.keep(name, kept[name])
        self.cache.find(b"a")
        self.cache.keep(b"d", kept[b"d"])
        self.assertEqual([name for name in kept if self.cache.find(name)], [b"a", b"c", b"d"])
        self.assertEqual((kept[b"b"].expires, len(self.cache)), (0.0, 3))

    def test_bytes(self) -> None:
        """
        Row H9: long credentials leave less room for others.
        """
        self.cache.keep(b"a" * 10, make())
        self.cache.keep(b"b" * 15, make())
        self.assertEqual((len(self.cache), self.cache.size), (2, 25))
        self.cache.keep(b"c" * 10, make())
        self.assertEqual((len(self.cache), self.cache.size), (2, 25))
        self.assertIsNone(self.cache.find(b"a" * 10))
        self.cache.keep(b"d" * 40, make())
        self.assertEqual(len(self.cache), 1)
        self.cache.keep(b"e", make())
        self.assertEqual((len(self.cache), self.cache.size), (1, 1))

    def test_kept_again(self) -> None:
        """
        Keeping another identity under the same credentials ends the first; keeping the same one changes nothing.
        """
        first, second = make(), make()
        self.cache.keep(b"a", first)
        self.cache.keep(b"a", first)
        self.assertEqual((first.expires, len(self.cache), self.cache.size), (LATER, 1, 1))
        self.cache.keep(b"a", second)
        self.assertEqual((first.expires, len(self.cache), self.cache.size), (0.0, 1, 1))
        self.assertIs(self.cache.find(b"a"), second)

    def test_revoke_token(self) -> None:
        """
        Row H8: a token is revoked under all credentials that it was sent with, and no other is.
        """
        revoked = [make("1", "t"), make("1", "t")]
        other = make("1", "u")
        for credentials, identity in zip((b"Bearer t", b"bearer t", b"u"), (*revoked, other), strict=True):
            self.cache.keep(credentials, identity)
        self.cache.revoke_token("t")
        self.cache.revoke_token("unheard of")
        self.assertEqual([identity.expires for identity in (*revoked, other)], [0.0, 0.0, LATER])
        self.assertIsNone(self.cache.find(b"Bearer t"))
        self.assertIs(self.cache.find(b"u"), other)

    def test_revoke_user(self) -> None:
        """
        Row H8: a user's tokens from before a time are revoked; later ones, and those of others, are not.
        """
        before, at, other = make("1", "a", issued=99), make("1", "b", issued=100), make("2", "c", issued=99)
        for credentials, identity in ((b"a", before), (b"b", at), (b"c", other)):
            self.cache.keep(credentials, identity)
        self.cache.revoke_user("1", 100)
        self.cache.revoke_user("3", 100)
        self.assertEqual([identity.expires for identity in (before, at, other)], [0.0, LATER, LATER])
        self.assertEqual(len(self.cache), 2)

    def test_clear(self) -> None:
        """
        Row H9: when keys change, everybody is forgotten.
        """
        identities = [make(str(number), str(number)) for number in range(3)]
        for identity in identities:
            self.cache.keep(identity.token_id.encode(), identity)
        self.cache.clear()
        self.assertEqual([identity.expires for identity in identities], [0.0] * 3)
        self.empty()

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["keep", "find", "expire", "token", "user"]), st.integers(0, 7), st.integers(0, 3)
            )
        )
    )
    def test_model(self, steps: list[tuple[str, int, int]]) -> None:
        """
        Whatever happens, it remembers what a plain list of everything would say.
        """
        cache = IdentityCache(capacity=4)
        model: OrderedDict[int, Identity] = OrderedDict()
        for action, number, who in steps:
            credentials = b"%d" % number
            if action == "keep":
                model.pop(number, None)
                model[number] = make(str(who), str(number % 3), issued=number)
                cache.keep(credentials, model[number])
                while len(model) > 4:
                    model.popitem(last=False)
            elif action == "find":
                found = model.get(number)
                self.assertIs(cache.find(credentials), found)
                if found is not None:
                    model.move_to_end(number)
            elif action == "expire" and number in model:
                model[number].expires = time() - 1
                self.assertIsNone(cache.find(credentials))
                del model[number]
            elif action == "token":
                cache.revoke_token(str(who))
                model = OrderedDict((key, one) for key, one in model.items() if one.token_id != str(who))
            elif action == "user":
                cache.revoke_user(str(who), number)
                model = OrderedDict(
                    (key, one) for key, one in model.items() if one.user_id != str(who) or one.issued >= number
                )
            self.assertEqual((len(cache), cache.size), (len(model), len(model)))
            self.assertTrue(all(one.expires == LATER for one in model.values()))
        cache.clear()
        self.assertEqual((cache._by_token, cache._by_user), ({}, {}))

"""
Keeping secrets out of the application log.

Nothing in this program logs one on purpose. But messages quote exceptions, exceptions quote URLs and fields, and other
libraries log what they like. So every text is searched, before it is written, for secrets that are known by value and
for what looks like one.
"""

from __future__ import annotations

import re

__all__ = ["REDACTED", "Redactor"]

REDACTED = "[redacted]"

_SHORTEST = 6
"""Known values shorter than this would blank out ordinary words."""

_NAMES = (
    r"(?:[a-z0-9]+[_-])*"
    r"(?:authorization|cookie|passwd|password|passphrase|secret|token|api[_-]?key|private[_-]?key|credential|jwt)s?"
)
# Whole field lines, whose values have spaces; then name and value in a query, in JSON, in YAML or in a repr.
_field = re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(['\"]?\s*[:=,]\s*b?['\"]?)[^'\"\r\n]+")
_assignment = re.compile(rf"(?i)\b({_NAMES})(['\"]?\s*[:=]\s*b?['\"]?)(?!\[redacted)[^\s'\",;&}})\]]+")
_bearer = re.compile(r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/-]{6,}=*")
_token = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_userinfo = re.compile(r"(://)[^/@\s'\"]+@")


class Redactor:
    """
    Takes secrets out of texts.
    """

    def __init__(self) -> None:
        self._known: list[str] = []

    def protect(self, *secrets: str) -> None:
        """
        Remember values that are secret wherever they occur.
        """
        fresh = {secret for secret in secrets if len(secret) >= _SHORTEST}
        self._known = sorted(fresh.union(self._known), key=len, reverse=True)

    def clean(self, text: str) -> str:
        """
        The text without what is or looks like a secret.
        """
        for secret in self._known:
            text = text.replace(secret, REDACTED)
        text = _token.sub(REDACTED, text)
        text = _field.sub(rf"\1\2{REDACTED}", text)
        text = _bearer.sub(rf"\1\2{REDACTED}", text)
        text = _assignment.sub(rf"\1\2{REDACTED}", text)
        return _userinfo.sub(rf"\1{REDACTED}@", text)

"""
What is wrong with the beginning of a head.
"""

from __future__ import annotations

from siger.config.settings.limits import Limits
from siger.errors import Reason
from siger.http.fields import HeadError
from siger.http.grammar import stray_control
from siger.http.request_parser import RequestParser

__all__ = ["first_fault"]


def first_fault(data: bytes, judged: int, limits: Limits, parser: RequestParser) -> HeadError | None:
    """
    The first thing that is wrong, in the order of the bytes: so that it makes no difference in which pieces they came.

    @param data: an unfinished request head, or a finished one.
    @param judged: so many bytes of it were found right before.
    """
    seen = max(0, judged - 1)
    line_end = data.find(b"\r\n")
    known = len(data) if line_end < 0 else line_end
    if stray_control(data, seen, min(known, limits.request_line + 2)) is not None or line_end == 0:
        return HeadError(Reason.MALFORMED_REQUEST, "The request line holds a control character.")
    # The last byte of an unfinished line may be the CR of its end.
    if known > limits.request_line + (line_end < 0):
        return HeadError(Reason.URI_TOO_LONG)
    if line_end < 0:
        return None
    if judged <= line_end + 1:
        try:
            parser.request_line(data[:line_end])
        except HeadError as fault:
            return fault
    limit = line_end + limits.header_bytes + 4
    if stray_control(data, max(line_end, seen), limit) is not None:
        return HeadError(Reason.MALFORMED_REQUEST, "The header section holds a control character.")
    return HeadError(Reason.HEADERS_TOO_LARGE) if len(data) > limit else None

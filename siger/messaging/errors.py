"""
What can go wrong with shared records: nats-py's many exceptions come to these few, once.
"""

from __future__ import annotations

__all__ = [
    "InvalidKeyError",
    "KeyExistsError",
    "MessagingError",
    "NobodyAnswersError",
    "RevisionError",
    "TooLargeError",
    "UnavailableError",
]


class MessagingError(Exception):
    """
    What all of these are.
    """


class UnavailableError(MessagingError):
    """
    Not connected, not answered in time, or no JetStream behind the connection.

    After a write this does not mean that nothing was written: the answer may be what got lost. Whoever writes with a
    revision reads again and sees.
    """


class NobodyAnswersError(UnavailableError):
    """
    Nobody listens where a request was sent, so nothing can have come of it.
    """


class KeyExistsError(MessagingError):
    """
    The key to create has a value already.
    """


class RevisionError(MessagingError):
    """
    The key is not at the expected revision: somebody else changed it.
    """


class InvalidKeyError(MessagingError, ValueError):
    """
    Nothing can be kept under such a key.
    """


class TooLargeError(MessagingError, ValueError):
    """
    The value is larger than the server takes.
    """

"""
A message from the queue, as it was delivered.
"""

from __future__ import annotations

from attrs import frozen
from nats.aio.msg import Msg

from siger.jobs.model import Job
from siger.jobs.submission import read_message

__all__ = ["Delivery", "read_delivery"]


@frozen
class Delivery:
    """
    A message from the queue.

    @ivar reply: where to say what becomes of it.
    @ivar sequence: of the message in its stream: two messages may be about the same job.
    @ivar again: whether it has been delivered before.
    @ivar job: the job as it was submitted.
    @ivar content: what the message says.
    """

    reply: str
    sequence: int
    again: bool
    job: Job
    content: bytes


def read_delivery(message: Msg) -> Delivery:
    """
    Read a message of the queue.

    @raise siger.jobs.members.BrokenError: it is none that could be run.
    """
    metadata = message.metadata
    return Delivery(
        reply=message.reply,
        sequence=metadata.sequence.stream,
        again=metadata.num_delivered > 1,
        job=read_message(message.data),
        content=bytes(message.data),
    )

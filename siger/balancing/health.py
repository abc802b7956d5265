"""
Which endpoints are well, as far as somebody asks them.

An endpoint changes its state only after several equal answers in a row, so that one answer that was lost does not take
it out. A new one is I{warming}: nothing is known of it, and it gets no requests before its first good answer, so that
it can load its model in peace. After as many bad answers as end the health of others it is ill like them.

All of that is for nothing when the one who asks is wrong: a network that lost the questions, a check that asks about
the wrong thing. So when fewer than half are well, all are used as though none had been asked; somebody who may be ill
answers more than nobody does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from siger.balancing.instances import Endpoint

__all__ = ["DOWN", "UP", "WARMING", "Health", "usable"]

UP: Final = "up"
DOWN: Final = "down"
WARMING: Final = "warming"


class Health:
    """
    The health of one endpoint.

    @ivar word: L{UP}, L{DOWN} or L{WARMING}. Who is never asked is up.
    """

    __slots__ = ("_contrary", "word")

    def __init__(self, word: str = UP) -> None:
        self.word = word
        self._contrary = 0

    def note(self, good: bool, rise: int, fall: int) -> bool:
        """
        Take an answer into account.

        @param rise: good answers in a row after which an endpoint that was ill is well.
        @param fall: bad answers in a row after which one that was not ill is.
        @return: whether the state is another now.
        """
        told = UP if good else DOWN
        if told == self.word:
            self._contrary = 0
            return False
        self._contrary += 1
        if self._contrary < (fall if not good else 1 if self.word == WARMING else rise):
            return False
        self.word = told
        self._contrary = 0
        return True


def usable(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """
    Those that requests may go to now.

    What takes no requests at all (its weight is 0) counts for nothing here. Endpoints that are warming are not held
    against the others, or new ones would call the panic whose requests they are to be spared; they are used only when
    nobody is well.
    """
    live = [endpoint for endpoint in endpoints if endpoint.weight > 0]
    well = [endpoint for endpoint in live if endpoint.health == UP]
    known = [endpoint for endpoint in live if endpoint.health != WARMING]
    if not well:
        return tuple(live)
    return tuple(known if 2 * len(well) < len(known) else well)

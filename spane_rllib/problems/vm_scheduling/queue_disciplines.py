"""Queue disciplines: which of the VMs that wait may be placed; `docs/queue_disciplines.md` has the rules.

Free of numba, so that a configuration is checked without it.
"""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from spane_rllib.core.errors import UserError

FORMS: dict[str, str] = {
    "fifo": "strict first come, first served: nobody passes a VM that fits nowhere",
    "skip": "any VM that fits is placed, in order of arrival",
    "skip:DEPTH": "the same while fewer than DEPTH VMs before it are blocked; skip:1 is fifo",
    "easy": "the first blocked VM holds a reservation; who passes must not delay it",
    "conservative": "every blocked VM holds a reservation",
    "smallest": "as skip, but those that wait are tried from the smallest to the largest",
    "largest": "as skip, but those that wait are tried from the largest to the smallest",
    "hold": "as skip, but a server is kept for the first blocked VM",
    "aged:SECONDS": "skip until the first VM has waited for SECONDS, then nobody passes it",
}
"""What `parse_queue` takes, with one line for people."""

_MAX_DEPTH = 1_000_000

MAX_CHOICES = 64
"""Every waiting VM has as many actions as there are slots."""


@dataclass(frozen=True)
class Queue:
    """A queue discipline: VMs that wait are tried in some order, and some are not tried.

    Args:
        text: as `parse_queue` takes it.
        depth: a VM is tried only while fewer VMs than this before it are blocked.
        patience: nobody is tried behind a VM that has waited for so many seconds.
        reservations: how many of the first blocked VMs hold a reservation.
        order: VMs are tried from the smallest (1) or the largest (-1) on, and not in order of arrival (0).
        holds: whether the server on which the first blocked VM lacks least is kept for it.
    """

    text: str = "fifo"
    depth: float = 1
    patience: float = math.inf
    reservations: float = 0
    order: int = 0
    holds: bool = False

    @property
    def is_fifo(self) -> bool:
        """Whether VMs are placed strictly in order of arrival, by the plain rules."""
        return self.text == "fifo"


FIFO = Queue()


def parse_queue(text: str) -> Queue:
    """The discipline that `text` names; `Queue.text` is its one spelling.

    Raises:
        UserError: it names none.
    """
    if isinstance(text, str):
        name, colon, argument = text.partition(":")
        if not colon:
            if name == "fifo":
                return FIFO
            if name == "skip":
                return Queue("skip", depth=math.inf)
            if name == "smallest":
                return Queue("smallest", depth=math.inf, order=1)
            if name == "largest":
                return Queue("largest", depth=math.inf, order=-1)
            if name == "hold":
                return Queue("hold", depth=math.inf, holds=True)
            if name == "easy":
                return Queue("easy", depth=math.inf, reservations=1)
            if name == "conservative":
                return Queue("conservative", depth=math.inf, reservations=math.inf)
        elif name == "skip" and argument.isascii() and argument.isdecimal():
            depth = int(argument[:20])
            if 1 <= depth <= _MAX_DEPTH:
                return Queue(f"skip:{depth}", depth=depth)
        elif name == "aged" and (seconds := _seconds(argument)) is not None:
            return Queue(f"aged:{seconds:.15g}", depth=math.inf, patience=seconds)
    raise UserError(
        f"queue: {reprlib.repr(text)} is no queue discipline; allowed are {', '.join(FORMS)} "
        f"(DEPTH: a whole number from 1 to {_MAX_DEPTH:,}, SECONDS: a number of at least 0)"
    )


def choices_of(queue: str) -> int:
    """How many of the first VMs in the queue the network `choice` chooses from under a discipline, `skip:K`.

    Raises:
        UserError: it is another one.
    """
    discipline = parse_queue(queue)
    depth = discipline.depth
    if not discipline.text.startswith("skip:") or not 2 <= depth <= MAX_CHOICES:
        raise UserError(
            "network choice: chooses among the first K that wait, which needs queue: skip:K with K from 2 to "
            f"{MAX_CHOICES}, but queue is {discipline.text}"
        )
    return int(depth)


def _seconds(text: str) -> float | None:
    if not text.isascii() or text != text.strip() or "_" in text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds + 0.0 if 0 <= seconds < math.inf else None


def _canonical(text: str) -> str:
    try:
        return parse_queue(text).text
    except UserError as error:
        raise ValueError(str(error).removeprefix("queue: ")) from error


QueueText = Annotated[str, AfterValidator(_canonical)]
"""The type of a key that names one."""

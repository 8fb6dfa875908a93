"""Time that a planner may take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Clock:
    """Counts from when it is made.

    Args:
        seconds: how long; `math.inf` for no limit.
        now: the time in seconds, from anywhere.
    """

    def __init__(self, seconds: float = math.inf, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self.seconds = now, seconds
        self._start = now()

    @property
    def passed(self) -> float:
        """Seconds since it was made."""
        return self._now() - self._start

    def left(self, share: float = 1.0) -> float:
        """Seconds until this share of the time is over, at least 0."""
        return max(0.0, share * self.seconds - self.passed)

    def over(self, share: float = 1.0) -> bool:
        """Whether this share of the time is over."""
        return self.left(share) == 0.0

"""What a message says of a word that is not among those that are allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that is nearly `word`, if one is."""
    return next(iter(difflib.get_close_matches(word[:100], list(allowed), n=1)), None)


def suggestion(word: str, allowed: Iterable[str]) -> str:
    """`did you mean X? allowed: X, Y`, the first half only when an allowed word is near."""
    allowed = list(allowed)
    near = nearest(word, allowed)
    return (f"did you mean {near}? " if near else "") + f"allowed: {', '.join(allowed)}"


def near_miss(word: str, allowed: Iterable[str]) -> str:
    """The end of a message, `; did you mean X?`, where an allowed word is near, else nothing."""
    near = nearest(word, allowed)
    return f"; did you mean {near}?" if near else ""

"""Names of evaluated parts: a hash of all that decides the episodes in them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from spane_rllib.core.sources import source_digest


def part_key(*modules: str, **decisive: Any) -> str:
    """16 hexadecimal digits of the hash of these values, which JSON must know, and of the code that plays.

    Args:
        modules: play the episodes; their sources and the sources of all that they import count.
        decisive: what else decides the episodes.
    """
    text = json.dumps({**decisive, "source": source_digest(*modules)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def array_digest(array: Any) -> str:
    """Hash of an array of whole numbers."""
    return hashlib.sha256(array.astype("<i8").tobytes()).hexdigest()

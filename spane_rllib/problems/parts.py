"""Names of evaluated parts: a hash of all that decides the episodes in them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from spane_rllib.core.sources import source_digest


def part_key(module: str, **decisive: Any) -> str:
    """16 hexadecimal digits of the hash of these values, which JSON must know, and of the code that plays.

    Args:
        module: plays the episodes; its source and the sources of all that it imports count.
        decisive: what else decides the episodes.
    """
    text = json.dumps({**decisive, "source": source_digest(module)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def array_digest(array: Any) -> str:
    """Hash of an array of whole numbers."""
    return hashlib.sha256(array.astype("<i8").tobytes()).hexdigest()

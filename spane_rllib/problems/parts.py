"""Names of evaluated parts: a hash of all that decides the episodes in them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from spane_rllib import __version__


def part_key(**decisive: Any) -> str:
    """16 hexadecimal digits of the hash of these values, which JSON must know, and of this version."""
    text = json.dumps({**decisive, "version": __version__}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def array_digest(array: Any) -> str:
    """Hash of an array of whole numbers."""
    return hashlib.sha256(array.astype("<i8").tobytes()).hexdigest()

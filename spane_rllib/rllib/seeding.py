"""Seeding a process as RLlib does it, without importing torch's compiler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch


@contextmanager
def seeding_lightly() -> Iterator[None]:
    """While RLlib sets itself up within.

    It asks torch for deterministic algorithms by a function that imports torch's compiler, to set an option
    there: a second or two and 70 MB, for what is not compiled.
    """
    with patch.object(torch, "use_deterministic_algorithms", _be_deterministic):
        yield


def _be_deterministic(mode: bool) -> None:
    torch.set_deterministic_debug_mode("error" if mode else "default")

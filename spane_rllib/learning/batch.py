"""What is learned from: observations as named arrays, and batches of n-step transitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

MASK = "action_mask"
"""The array of an observation that has 1 for every feasible action and 0 for the others."""

Arrays = Mapping[str, npt.NDArray[Any]]
"""Observations: arrays by name, `MASK` among them; in a batch each has the rows as its first axis."""


class Batch(NamedTuple):
    """B transitions of n steps; the target of each is n_step_return + discount * value(next observation)."""

    observation: Arrays  # (B, ...) each
    action: npt.NDArray[np.int64]  # (B,), or (B, A) of factored actions
    n_step_return: npt.NDArray[np.float32]  # (B,)
    discount: npt.NDArray[np.float32]  # (B,) gamma^(steps taken); 0 = the next state is terminal
    next_observation: Arrays  # (B, ...) each; any valid one where discount is 0


class Augmentation(Protocol):
    """Ways to rename what is interchangeable, after which rewards and feasibility are as they were."""

    def __len__(self) -> int:
        """The number of ways."""
        ...

    def apply(self, batch: Batch, choice: npt.NDArray[np.int64]) -> Batch:
        """`batch` with row i renamed in way `choice[i]`, consistently in observations and action."""
        ...

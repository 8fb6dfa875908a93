"""Rollouts: what a problem supplies to training. Episodes out, nothing about what they are episodes of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import nn

from spane_rllib.learning.batch import Arrays, Augmentation, Batch

Floats = npt.NDArray[np.float64]
Starts = Any
"""Where a group of episodes begins: made by `draw_starts`, and only handed back."""


@dataclass(frozen=True)
class Episode:
    """One finished training episode of T decisions; the arrays may be views that the next call overwrites."""

    observation: Arrays  # (T, ...) each, before the decision
    action: npt.NDArray[np.int64]  # (T,), or (T, A) of factored actions
    reward: Floats  # (T,)
    log_probability: npt.NDArray[np.float32]  # (T,) of actions sampled from a policy, else whatever
    terminated: bool  # it came to its natural end; what was cut off would have had more rewards
    measured: float  # what the problem is measured by
    # (T,) what each decision was about, as baselines number it; -1: about nothing that they have
    item: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.action)


class Rollouts(Protocol):
    """Episodes of one problem for one training run."""

    @property
    def measure(self) -> str:
        """What episodes are measured by: part of the names of metrics."""
        ...

    @property
    def sign(self) -> int:
        """1 where more of it is better, -1 where less is."""
        ...

    def draw_starts(self, random: np.random.Generator, count: int, group: int = 1) -> Starts:
        """Where `count` episodes begin; every `group` of them in turn at the same place."""
        ...

    def explore(
        self, network: nn.Module, epsilon: float, starts: Starts, random: np.random.Generator
    ) -> Sequence[Episode]:
        """Play an episode from each start: the best action or, with chance `epsilon`, any feasible one."""
        ...

    def sample(self, network: nn.Module, starts: Starts, random: np.random.Generator) -> Sequence[Episode]:
        """Play an episode from each start with actions drawn from the policy."""
        ...

    def baseline_rewards(self, starts: Starts) -> Sequence[Floats] | None:
        """Rewards of a reference policy in episodes of its own from the same starts; None: there is none.

        They are in the order of `Episode.item`, or of the decisions where episodes have none.
        """
        ...

    def demonstrations(self, decisions: int, random: np.random.Generator) -> Batch:
        """Decisions of the policy that is to be imitated, as `imitation.decisions` makes them."""
        ...

    def augmentation(self, seed: int) -> Augmentation | None:
        """Ways to rename what is interchangeable; None where none are set."""
        ...

    def for_gradients(self, network: nn.Module) -> nn.Module:
        """What gradient steps call in place of `network`: a module of the same parameters and values.

        `network` itself where there is nothing faster.
        """
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """`validation_<measure>` of greedy episodes, the same ones at every call, and what else is known."""
        ...

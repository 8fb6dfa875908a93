"""What training runs of all algorithms share: episodes, validation, the best weights, exact continuation.

Plain numpy and torch; `rllib` wraps a run into an `Algorithm`. A run can be saved between two iterations and
continued exactly.
"""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from spane_rllib.learning.algorithms import AlgorithmSettings
from spane_rllib.learning.rollouts import Episode, Floats, Rollouts, Starts
from spane_rllib.learning.tensors import on_cpu


class Run(ABC):
    """Trains `network` in place: plays episodes side by side, learns from them, validates.

    Args:
        network: the network that plays; its initial weights count. All gradient steps are made where it is.
        settings: hyper-parameters.
        rollouts: the episodes.
        every: gradient steps between validations.
        seeds: of starts, of exploration, and of what else the algorithm draws.
    """

    settings: AlgorithmSettings

    def __init__(
        self,
        network: nn.Module,
        settings: AlgorithmSettings,
        rollouts: Rollouts,
        every: int,
        seeds: list[np.random.SeedSequence],
    ) -> None:
        self.network, self.settings, self.rollouts = network, settings, rollouts
        self._every = every
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._starts, self._exploration = self._generators[:2]
        self.episodes = 0
        self.decisions = 0
        self.best_step = -1
        self.best_value = -rollouts.sign * float("inf")
        self.best_weights: dict[str, torch.Tensor] = copy.deepcopy(network.state_dict())
        self._last: dict[str, float] = {}
        self._played: list[tuple[int, float]] = []
        self.seconds = {"rollout": 0.0, "replay": 0.0, "gradient": 0.0, "validation": 0.0}

    @property
    @abstractmethod
    def gradient_steps(self) -> int:
        """Gradient steps made so far."""

    @property
    @abstractmethod
    def trained_decisions(self) -> int:
        """Decisions in the batches of all gradient steps so far."""

    @abstractmethod
    def _play(self, starts: Starts) -> Sequence[Episode]:
        """One training episode from each of `starts` with the present weights."""

    @abstractmethod
    def _learn(self, played: Sequence[Episode], rewards: list[Floats]) -> None:
        """Make the gradient steps of an iteration, and validate where one is due."""

    @abstractmethod
    def _learner_state(self) -> dict[str, Any]:
        """Copies of all that learning needs to continue exactly, weights included."""

    @abstractmethod
    def _load_learner_state(self, state: dict[str, Any]) -> None:
        """Continue from a `_learner_state()`."""

    def _draw_starts(self) -> Starts:
        return self.rollouts.draw_starts(self._starts, self.settings.lanes)

    @property
    def finished(self) -> bool:
        """Whether all gradient steps of the settings have been made."""
        return self.gradient_steps >= self.settings.gradient_steps

    def run_until(self, gradient_steps: int) -> dict[str, float]:
        """Iterate until at least `gradient_steps` have been made in all, or the run is finished.

        Returns `metrics()`.
        """
        while not self.finished and self.gradient_steps < gradient_steps:
            self._iterate()
        return self.metrics()

    def metrics(self) -> dict[str, float]:
        """The latest metrics, those of `Rollouts.validate` among them."""
        return {
            "gradient_steps": self.gradient_steps,
            "episodes": self.episodes,
            "decisions": self.decisions,
            **self._last,
        }

    def _iterate(self) -> None:
        with timed(self.seconds, "rollout"):
            starts = self._draw_starts()
            played = self._play(starts)
            rewards = self._rewards(played, starts)
        lengths = [len(episode) for episode in played]
        self._played += zip(lengths, (float(reward.sum()) for reward in rewards), strict=True)
        self.episodes += len(played)
        self.decisions += sum(lengths)
        measured = [episode.measured for episode in played]
        self._last[f"episode_{self.rollouts.measure}"] = float(np.mean(measured))
        self._learn(played, rewards)

    def _rewards(self, played: Sequence[Episode], starts: Starts) -> list[Floats]:
        """The rewards that are learned from, (T,) for each episode."""
        return [self.settings.reward_scale * episode.reward for episode in played]

    @property
    def _candidate(self) -> nn.Module:
        """The network that is validated and kept when it is the best so far."""
        return self.network

    def _validate(self) -> None:
        measure, sign = self.rollouts.measure, self.rollouts.sign
        with timed(self.seconds, "validation"):
            validated = self.rollouts.validate(self._candidate)
        value = validated[f"validation_{measure}"]
        if sign * value > sign * self.best_value:
            self.best_step, self.best_value = self.gradient_steps, value
            self.best_weights = copy.deepcopy(self._candidate.state_dict())
        self._last |= validated
        self._last |= {f"best_validation_{measure}": self.best_value, "best_gradient_steps": self.best_step}

    def best_network(self) -> nn.Module:
        """A copy of the network with the weights of the best validation so far."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.best_weights)
        return network

    def best_metrics(self) -> dict[str, float | None]:
        """What is known of the best weights: their step and validation (None before one)."""
        validated = self.best_step >= 0
        return {
            "gradient_steps": float(self.best_step) if validated else None,
            f"validation_{self.rollouts.measure}": self.best_value if validated else None,
        }

    def take_played(self) -> list[tuple[int, float]]:
        """(length, return) of the training episodes since the last call."""
        played, self._played = self._played, []
        return played

    def state(self) -> dict[str, Any]:
        """Copies of all that an exact continuation needs, on the CPU; call between iterations."""
        state = {
            **self._learner_state(),
            "random": [random.bit_generator.state for random in self._generators],
            "counts": (self.episodes, self.decisions, self.best_step, self.best_value),
            "best_weights": copy.deepcopy(self.best_weights),
            "last": dict(self._last),
            "seconds": dict(self.seconds),
        }
        moved: dict[str, Any] = on_cpu(state)
        return moved

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from the `state()` of a run with the same arguments."""
        self._load_learner_state(state)
        for random, random_state in zip(self._generators, state["random"], strict=True):
            random.bit_generator.state = random_state
        self.episodes, self.decisions, self.best_step, self.best_value = state["counts"]
        self.best_weights = copy.deepcopy(state["best_weights"])
        self._last = dict(state["last"])
        self.seconds = dict(state["seconds"])


class timed:
    """Adds the seconds spent inside a `with` block to `totals[name]`."""

    def __init__(self, totals: dict[str, float], name: str) -> None:
        self._totals, self._name = totals, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._totals[self._name] += time.perf_counter() - self._started

"""What training runs of all algorithms share: episodes, validation, the best weights, exact continuation.

Plain numpy and torch; `rllib` wraps a run into an `Algorithm`. A run can be saved between two iterations and
continued exactly.
"""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from spane_rllib.learning.policy_settings import AlgorithmSettings
from spane_rllib.problems.vm_scheduling.networks.base import QNetwork
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.rollout import ExploringRollout, RecordedEpisode
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload
from spane_rllib.problems.vm_scheduling.training_objective import training_objective

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Validation:
    """Greedy episodes that choose the best weights of a run.

    Args:
        starts: (E,) rows at which they begin; the same for all runs that are compared.
        every: gradient steps between validations.
        trim: share of episodes dropped at each end of the mean total wait.
    """

    starts: Rows
    every: int = 250
    trim: float = 0.1


class Run(ABC):
    """Trains `network` in place: plays episodes side by side, learns from them, validates.

    Args:
        network: the network that plays; its initial weights count.
        settings: hyper-parameters.
        workload, cluster: what is simulated. A workload compiled for a scenario of allocations brings the
            objective along; all others are about waits.
        train_rows: half-open range of rows at which training episodes start.
        validation: how the best weights are chosen.
        seeds: of starts, of exploration, and of what else the algorithm draws.
    """

    settings: AlgorithmSettings

    def __init__(
        self,
        network: QNetwork,
        settings: AlgorithmSettings,
        workload: Workload,
        cluster: Cluster,
        train_rows: tuple[int, int],
        validation: Validation,
        seeds: list[np.random.SeedSequence],
    ) -> None:
        self.network, self.settings, self.cluster = network, settings, cluster
        self._train_rows, self._validation = train_rows, validation
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._starts, self._exploration = self._generators[:2]
        self._acting = self._validated = CompiledQNetwork(network)
        self._rollout = ExploringRollout(workload, cluster, settings.lanes, self._exploration)
        self._objective = training_objective(
            workload, cluster, settings.reward, validation.starts, validation.trim
        )
        self.episodes = 0
        self.decisions = 0
        self.best_step = -1
        self.best_value = -self._objective.sign * float("inf")
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
    def _play(self, starts: Rows, vm_counts: Rows) -> list[RecordedEpisode]:
        """One training episode from each of `starts`; the acting network has the present weights."""

    @abstractmethod
    def _learn(self, played: list[RecordedEpisode], rewards: list[npt.NDArray[np.float64]]) -> None:
        """Make the gradient steps of an iteration, and validate where one is due."""

    @abstractmethod
    def _learner_state(self) -> dict[str, Any]:
        """Copies of all that learning needs to continue exactly, weights included."""

    @abstractmethod
    def _load_learner_state(self, state: dict[str, Any]) -> None:
        """Continue from a `_learner_state()`."""

    def _draw_starts(self) -> Rows:
        return self._starts.integers(*self._train_rows, self.settings.lanes)

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
        """The latest metrics; waits in seconds, `validation_gap` is a wait over its proven lower bound."""
        return {
            "gradient_steps": self.gradient_steps,
            "episodes": self.episodes,
            "decisions": self.decisions,
            **self._last,
        }

    def _iterate(self) -> None:
        with timed(self.seconds, "rollout"):
            starts = self._draw_starts()
            self._acting.refresh()
            vm_counts = self._objective.lengths(starts)
            played = self._play(starts, vm_counts)
            rewards = self._rewards(played, starts, vm_counts)
        lengths = [len(episode.action) for episode in played]
        self._played += zip(lengths, (float(reward.sum()) for reward in rewards), strict=True)
        self.episodes += len(played)
        self.decisions += sum(lengths)
        measured = [self._objective.measured(episode) for episode in played]
        self._last[f"episode_{self._objective.measure}"] = float(np.mean(measured))
        self._learn(played, rewards)

    def _rewards(
        self, played: list[RecordedEpisode], starts: Rows, vm_counts: Rows
    ) -> list[npt.NDArray[np.float64]]:
        """The rewards that are learned from, (T,) for each episode."""
        return [self.settings.reward_scale * self._objective.rewards(episode) for episode in played]

    @property
    def _candidate(self) -> QNetwork:
        """The network that is validated and kept when it is the best so far; `_validated` compiles it."""
        return self.network

    def _validate(self) -> None:
        measure, sign = self._objective.measure, self._objective.sign
        with timed(self.seconds, "validation"):
            self._validated.refresh()
            validated = self._objective.validate(self._validated)
        value = validated[f"validation_{measure}"]
        if sign * value > sign * self.best_value:
            self.best_step, self.best_value = self.gradient_steps, value
            self.best_weights = copy.deepcopy(self._candidate.state_dict())
        self._last |= validated
        self._last |= {f"best_validation_{measure}": self.best_value, "best_gradient_steps": self.best_step}

    def best_network(self) -> QNetwork:
        """A copy of the network with the weights of the best validation so far."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.best_weights)
        return network

    def best_metrics(self) -> dict[str, float | None]:
        """What is known of the best weights: their step and validation (None before one)."""
        validated = self.best_step >= 0
        return {
            "gradient_steps": float(self.best_step) if validated else None,
            f"validation_{self._objective.measure}": self.best_value if validated else None,
        }

    def take_played(self) -> list[tuple[int, float]]:
        """(length, return) of the training episodes since the last call."""
        played, self._played = self._played, []
        return played

    def state(self) -> dict[str, Any]:
        """Copies of all that an exact continuation needs; call between iterations."""
        return {
            **self._learner_state(),
            "random": [random.bit_generator.state for random in self._generators],
            "counts": (self.episodes, self.decisions, self.best_step, self.best_value),
            "best_weights": copy.deepcopy(self.best_weights),
            "last": dict(self._last),
            "seconds": dict(self.seconds),
        }

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

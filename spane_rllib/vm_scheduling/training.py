"""One training run of a Q-network on the simulator: rollouts, replay, gradient steps, validation.

Plain numpy and torch; `rllib` wraps it into an `Algorithm`. A run can be saved between two iterations and
continued exactly.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from spane_rllib.learning.augmentation import ServerPermutations
from spane_rllib.learning.dqn import DqnUpdate
from spane_rllib.learning.imitation import Demonstrations, imitate
from spane_rllib.learning.replay import EpisodeReplay
from spane_rllib.learning.settings import TrainingSettings
from spane_rllib.vm_scheduling.demonstrations import demonstrate
from spane_rllib.vm_scheduling.networks.base import QNetwork
from spane_rllib.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.vm_scheduling.rewards import REWARDS
from spane_rllib.vm_scheduling.rollout import (
    ExploringRollout,
    HeuristicRollout,
    RecordedEpisode,
    greedy_episodes,
)
from spane_rllib.vm_scheduling.simulator import (
    Cluster,
    FragmentationGradient,
    Heuristic,
    Workload,
    lower_bounds,
    probe_vm_counts,
)
from spane_rllib.vm_scheduling.statistics import trimmed_mean

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


class TrainingRun:
    """Trains `network` in place.

    One iteration plays `settings.lanes` episodes side by side and then makes the gradient steps they pay for,
    one per `settings.episodes_per_gradient_step` episodes once the warm-up is over.

    With `imitate` the network first learns a heuristic's decisions; the result is the first to be validated.

    Args:
        network: the online network; its initial weights count.
        settings: hyper-parameters.
        workload, cluster: what is simulated.
        train_rows: half-open range of rows at which training episodes start.
        validation: how the best weights are chosen.
        seed: decides starts, exploration, replay and augmentation.
        target: module to use as target network, else a copy of `network`.
    """

    def __init__(
        self,
        network: QNetwork,
        settings: TrainingSettings,
        workload: Workload,
        cluster: Cluster,
        train_rows: tuple[int, int],
        validation: Validation,
        seed: int,
        target: torch.nn.Module | None = None,
    ) -> None:
        seeds = np.random.SeedSequence(seed).spawn(6)
        starts, exploration, replay, augmentation, imitation, self._demonstration_seed = seeds
        self.network, self.settings = network, settings
        self.cluster = cluster
        self._workload, self._train_rows = workload, train_rows
        self._validation = validation
        self._generators = [np.random.default_rng(source) for source in (starts, exploration, imitation)]
        self._starts, self._exploration, self._imitation = self._generators
        self._update = DqnUpdate(network, settings, target)
        self._average: AveragedModel | None = None
        if settings.weight_averaging:
            self._average = AveragedModel(
                network, multi_avg_fn=get_ema_multi_avg_fn(settings.weight_averaging)
            )
        self._acting = CompiledQNetwork(network)
        self._validated = CompiledQNetwork(self._candidate)
        self._rollout = ExploringRollout(workload, cluster, settings.lanes, self._exploration)
        permutations = settings.augmentation_permutations
        self.replay = EpisodeReplay(
            settings.replay_capacity,
            cluster.servers,
            settings.n_step,
            settings.discount,
            seed=int(replay.generate_state(1)[0]),
            augmentation=ServerPermutations(
                cluster.servers, permutations, int(augmentation.generate_state(1)[0])
            )
            if permutations
            else None,
        )
        self._reward = REWARDS[settings.reward]
        self._baseline: HeuristicRollout | None = None
        if settings.reward_baseline:
            self._baseline = HeuristicRollout(
                workload, cluster, settings.lanes, self._heuristic(settings.reward_baseline)
            )
        self._epsilon = settings.epsilon_schedule()
        self._validation_counts = probe_vm_counts(workload, cluster, validation.starts)
        self._validation_bound = trimmed_mean(
            lower_bounds(workload, cluster, validation.starts, self._validation_counts), validation.trim
        )
        self.episodes = 0
        self.decisions = 0
        self.best_step = -1
        self.best_wait = float("inf")
        self.best_weights: dict[str, torch.Tensor] = copy.deepcopy(network.state_dict())
        self._last: dict[str, float] = {}
        self._played: list[tuple[int, float]] = []
        self.seconds = {"imitation": 0.0, "rollout": 0.0, "replay": 0.0, "gradient": 0.0, "validation": 0.0}

    @property
    def _candidate(self) -> QNetwork:
        """The network that is validated and kept when it is the best so far."""
        average: Any = self._average
        return self.network if average is None else average.module

    def _heuristic(self, name: str) -> Heuristic:
        # Only the flavours of training rows may be known to `fgd`.
        low, high = self._train_rows
        return Heuristic(name, FragmentationGradient.of_trace(self._workload.trace, low, high))

    @property
    def gradient_steps(self) -> int:
        """Gradient steps made so far."""
        return self._update.updates

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
            "replay_size": len(self.replay),
            "epsilon": self._epsilon(self.gradient_steps),
            **self._last,
        }

    @cached_property
    def _demonstrations(self) -> Demonstrations:
        """Decided by a seed of their own: a run that is continued makes them again and need not save them."""
        decisions = demonstrate(
            self._workload,
            self.cluster,
            self._heuristic(self.settings.imitate or ""),
            self._train_rows,
            self.settings.imitation_decisions,
            np.random.default_rng(self._demonstration_seed),
        )
        return Demonstrations(decisions, self._imitation, self.replay.augmentation)

    def _imitate(self) -> None:
        """The warm start, before the first iteration."""
        settings = self.settings
        with _timed(self.seconds, "imitation"):
            self._last["imitation_loss"] = imitate(
                self.network, self._demonstrations, settings.imitation_steps, settings.batch_size
            )
        self._update.sync_target()
        if self._average is not None:
            self._average.update_parameters(self.network)
        self._validate()

    def _iterate(self) -> None:
        settings = self.settings
        if settings.imitate and not self.episodes:
            self._imitate()
        with _timed(self.seconds, "rollout"):
            low, high = self._train_rows
            starts = self._starts.integers(low, high, settings.lanes)
            vm_counts = probe_vm_counts(self._workload, self.cluster, starts)
            self._acting.refresh()
            played = list(
                self._rollout.play(self._acting, self._epsilon(self.gradient_steps), starts, vm_counts)
            )
            rewards = self._rewards(played, starts, vm_counts)
        with _timed(self.seconds, "replay"):
            for episode, reward in zip(played, rewards, strict=True):
                self.replay.add_episode(
                    episode.servers, episode.request, episode.action_mask, episode.action, reward
                )
                self._played.append((len(episode.action), float(reward.sum())))
        self.episodes += len(played)
        self.decisions += sum(len(episode.action) for episode in played)
        self._last["episode_wait"] = float(np.mean([episode.total_wait for episode in played]))
        earned = int((self.episodes - settings.warmup_episodes) / settings.episodes_per_gradient_step)
        while self.gradient_steps < min(earned, settings.gradient_steps):
            with _timed(self.seconds, "replay"):
                batch = self.replay.sample(settings.batch_size)
                demonstrated = None
                if settings.imitation_weight:
                    demonstrated = self._demonstrations.sample(settings.batch_size)
            with _timed(self.seconds, "gradient"):
                self._last.update(self._update.update(batch, demonstrated))
                if self._average is not None:
                    self._average.update_parameters(self.network)
            if self.gradient_steps % self._validation.every == 0 or self.finished:
                self._validate()

    def _rewards(
        self, played: list[RecordedEpisode], starts: Rows, vm_counts: Rows
    ) -> list[npt.NDArray[np.float64]]:
        """The reward of every decision, relative to the baseline's for the same VM if there is one."""
        rewards = [self._reward(episode.wait, episode.servers_after) for episode in played]
        if self._baseline is not None:
            baselines = self._baseline.play(starts, vm_counts)
            for reward, other in zip(rewards, baselines, strict=True):
                shared = min(len(reward), len(other.wait))
                reward[:shared] -= self._reward(other.wait, other.servers_after)[:shared]
                reward[shared:] = 0.0  # the heuristic is stuck behind VMs that never end
        return [self.settings.reward_scale * reward for reward in rewards]

    def _validate(self) -> None:
        with _timed(self.seconds, "validation"):
            self._validated.refresh()
            results = greedy_episodes(
                self._validated,
                self._workload,
                self.cluster,
                self._validation.starts,
                self._validation_counts,
            )
            wait = trimmed_mean(results.total_wait, self._validation.trim)
        if wait < self.best_wait:
            self.best_step, self.best_wait = self.gradient_steps, wait
            self.best_weights = copy.deepcopy(self._candidate.state_dict())
        self._last |= {
            "validation_wait": wait,
            "validation_gap": wait / self._validation_bound if self._validation_bound else float("nan"),
            "best_validation_wait": self.best_wait,
            "best_gradient_steps": self.best_step,
        }

    def best_network(self) -> QNetwork:
        """A copy of the network with the weights of the best validation so far."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.best_weights)
        return network

    def best_metrics(self) -> dict[str, float | None]:
        """What is known of the best weights: their step and validation wait, seconds (None before one)."""
        validated = self.best_step >= 0
        return {
            "gradient_steps": float(self.best_step) if validated else None,
            "validation_wait": self.best_wait if validated else None,
        }

    def take_played(self) -> list[tuple[int, float]]:
        """(length, return) of the training episodes since the last call."""
        played, self._played = self._played, []
        return played

    def state(self) -> dict[str, Any]:
        """Copies of all that an exact continuation needs; call between iterations."""
        return {
            "update": self._update.state_dict(),
            "average": copy.deepcopy(self._average.state_dict()) if self._average else None,
            # A finished run never samples again, and its memory is most of a checkpoint.
            "replay": None if self.finished else self.replay.state(),
            "random": [random.bit_generator.state for random in self._generators],
            "counts": (self.episodes, self.decisions, self.best_step, self.best_wait),
            "best_weights": copy.deepcopy(self.best_weights),
            "last": dict(self._last),
            "seconds": dict(self.seconds),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from the `state()` of a run with the same arguments."""
        self._update.load_state_dict(state["update"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        if state["replay"] is not None:
            self.replay.load_state(state["replay"])
        for random, random_state in zip(self._generators, state["random"], strict=True):
            random.bit_generator.state = random_state
        self.episodes, self.decisions, self.best_step, self.best_wait = state["counts"]
        self.best_weights = copy.deepcopy(state["best_weights"])
        self._last = dict(state["last"])
        self.seconds = dict(state["seconds"])


class _timed:
    """Adds the seconds spent inside a `with` block to `totals[name]`."""

    def __init__(self, totals: dict[str, float], name: str) -> None:
        self._totals, self._name = totals, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._totals[self._name] += time.perf_counter() - self._started

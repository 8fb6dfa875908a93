"""Training runs that learn from a replay memory: DQN and discrete SAC."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from spane_rllib.learning.augmentation import ServerPermutations
from spane_rllib.learning.batch import Batch, Observation
from spane_rllib.learning.dqn import DqnUpdate
from spane_rllib.learning.imitation import Demonstrations, imitate
from spane_rllib.learning.policy_settings import SacSettings
from spane_rllib.learning.replay import EpisodeReplay
from spane_rllib.learning.sac import SacUpdate
from spane_rllib.learning.settings import TrainingSettings
from spane_rllib.problems.vm_scheduling.demonstrations import demonstrate
from spane_rllib.problems.vm_scheduling.networks.base import QNetwork, initialise
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.rollout import HeuristicRollout, RecordedEpisode
from spane_rllib.problems.vm_scheduling.run import Run, Validation, timed
from spane_rllib.problems.vm_scheduling.simulator import Cluster, FragmentationGradient, Heuristic, Workload

Rows = npt.NDArray[np.int64]


class ReplayRun(Run):
    """One iteration plays `settings.lanes` episodes side by side, then makes the gradient steps they pay for.

    That is one per `settings.episodes_per_gradient_step` episodes once the warm-up is over.
    """

    settings: TrainingSettings | SacSettings
    replay: EpisodeReplay
    _update: DqnUpdate | SacUpdate

    @property
    def gradient_steps(self) -> int:
        """See `Run`."""
        return self._update.updates

    @property
    def trained_decisions(self) -> int:
        """See `Run`."""
        return self.gradient_steps * self.settings.batch_size

    def metrics(self) -> dict[str, float]:
        """See `Run`."""
        return {**super().metrics(), "replay_size": len(self.replay)}

    def _learn(self, played: list[RecordedEpisode], rewards: list[npt.NDArray[np.float64]]) -> None:
        settings = self.settings
        with timed(self.seconds, "replay"):
            for episode, reward in zip(played, rewards, strict=True):
                self._remember(episode, reward)
        earned = int((self.episodes - settings.warmup_episodes) / settings.episodes_per_gradient_step)
        while self.gradient_steps < min(earned, settings.gradient_steps):
            with timed(self.seconds, "replay"):
                batch = self.replay.sample(settings.batch_size)
            with timed(self.seconds, "gradient"):
                self._last.update(self._step(batch))
            if self.gradient_steps % self._validation.every == 0 or self.finished:
                self._validate()

    def _step(self, batch: Batch) -> dict[str, float]:
        """Make one gradient step."""
        return self._update.update(batch)

    def _remember(self, episode: RecordedEpisode, reward: npt.NDArray[np.float64]) -> None:
        servers, request, mask, action = (
            episode.servers,
            episode.request,
            episode.action_mask,
            episode.action,
        )
        if self._objective.terminated(episode):
            self.replay.add_episode(servers, request, mask, action, reward)
        elif len(reward) > 1:
            # There is no decision after the cut, so the last one before it is what the others bootstrap from.
            final = Observation(servers[-1], request[-1], mask[-1])
            self.replay.add_episode(
                servers[:-1], request[:-1], mask[:-1], action[:-1], reward[:-1], False, final
            )

    def _learner_state(self) -> dict[str, Any]:
        return {
            "update": self._update.state_dict(),
            # A finished run never samples again, and its memory is most of a checkpoint.
            "replay": None if self.finished else self.replay.state(),
        }

    def _load_learner_state(self, state: dict[str, Any]) -> None:
        self._update.load_state_dict(state["update"])
        if state["replay"] is not None:
            self.replay.load_state(state["replay"])


class TrainingRun(ReplayRun):
    """Deep Q-learning.

    With `imitate` the network first learns a heuristic's decisions; the result is the first to be validated.

    Args:
        network: the online network.
        settings, workload, cluster, train_rows, validation: see `Run`.
        seed: decides starts, exploration, replay and augmentation.
        target: module to use as target network, else a copy of `network`.
    """

    settings: TrainingSettings

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
        drawing = [starts, exploration, imitation]
        super().__init__(network, settings, workload, cluster, train_rows, validation, drawing)
        self.seconds = {"imitation": 0.0} | self.seconds
        self._workload, self._imitation = workload, self._generators[2]
        self._update: DqnUpdate = DqnUpdate(network, settings, target)
        self._average: AveragedModel | None = None
        if settings.weight_averaging:
            self._average = AveragedModel(
                network, multi_avg_fn=get_ema_multi_avg_fn(settings.weight_averaging)
            )
            self._validated = CompiledQNetwork(self._candidate)
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
        self._baseline: HeuristicRollout | None = None
        if settings.reward_baseline:
            self._baseline = HeuristicRollout(
                workload, cluster, settings.lanes, self._heuristic(settings.reward_baseline)
            )
        self._epsilon = settings.epsilon_schedule()

    @property
    def _candidate(self) -> QNetwork:
        """See `Run`."""
        average: Any = self._average
        return self.network if average is None else average.module

    def _heuristic(self, name: str) -> Heuristic:
        # Only the flavours of training rows may be known to `fgd`.
        low, high = self._train_rows
        return Heuristic(name, FragmentationGradient.of_trace(self._workload.trace, low, high))

    def metrics(self) -> dict[str, float]:
        """See `Run`."""
        return {"epsilon": self._epsilon(self.gradient_steps), **super().metrics()}

    def _play(self, starts: Rows, vm_counts: Rows) -> list[RecordedEpisode]:
        return list(self._rollout.play(self._acting, self._epsilon(self.gradient_steps), starts, vm_counts))

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
        with timed(self.seconds, "imitation"):
            self._last["imitation_loss"] = imitate(
                self.network, self._demonstrations, settings.imitation_steps, settings.batch_size
            )
        self._update.sync_target()
        if self._average is not None:
            self._average.update_parameters(self.network)
        self._validate()

    def _iterate(self) -> None:
        if self.settings.imitate and not self.episodes:
            self._imitate()
        super()._iterate()

    def _rewards(
        self, played: list[RecordedEpisode], starts: Rows, vm_counts: Rows
    ) -> list[npt.NDArray[np.float64]]:
        """The reward of every decision, relative to the baseline's for the same VM if there is one."""
        rewards = [self._objective.rewards(episode) for episode in played]
        if self._baseline is not None:
            baselines = self._baseline.play(starts, vm_counts)
            for reward, other in zip(rewards, baselines, strict=True):
                shared = min(len(reward), len(other.wait))
                reward[:shared] -= self._objective.rewards(other)[:shared]
                reward[shared:] = 0.0  # the heuristic is stuck behind VMs that never end
        return [self.settings.reward_scale * reward for reward in rewards]

    def _step(self, batch: Batch) -> dict[str, float]:
        demonstrated = None
        if self.settings.imitation_weight:
            demonstrated = self._demonstrations.sample(self.settings.batch_size)
        metrics = self._update.update(batch, demonstrated)
        if self._average is not None:
            self._average.update_parameters(self.network)
        return metrics

    def _learner_state(self) -> dict[str, Any]:
        average = copy.deepcopy(self._average.state_dict()) if self._average else None
        return {**super()._learner_state(), "average": average}

    def _load_learner_state(self, state: dict[str, Any]) -> None:
        super()._load_learner_state(state)
        if self._average is not None:
            self._average.load_state_dict(state["average"])


class SacRun(ReplayRun):
    """Discrete soft actor-critic; `network` is the policy, its values read as logits.

    Args:
        network, settings, workload, cluster, train_rows, validation: see `Run`.
        seed: decides starts, actions, replay and the critics' initial weights.
    """

    settings: SacSettings

    def __init__(
        self,
        network: QNetwork,
        settings: SacSettings,
        workload: Workload,
        cluster: Cluster,
        train_rows: tuple[int, int],
        validation: Validation,
        seed: int,
    ) -> None:
        *seeds, replay, critics = np.random.SeedSequence(seed).spawn(4)
        super().__init__(network, settings, workload, cluster, train_rows, validation, seeds)
        first, second = copy.deepcopy(network), copy.deepcopy(network)
        for critic, weights in zip((first, second), critics.generate_state(2), strict=True):
            initialise(critic, int(weights))
        self._update = SacUpdate(network, (first, second), settings)
        self.replay = EpisodeReplay(
            settings.replay_capacity,
            cluster.servers,
            settings.n_step,
            settings.discount,
            seed=int(replay.generate_state(1)[0]),
        )

    def _play(self, starts: Rows, vm_counts: Rows) -> list[RecordedEpisode]:
        return list(self._rollout.sample(self._acting, starts, vm_counts))

    def _learner_state(self) -> dict[str, Any]:
        return {**super()._learner_state(), "network": copy.deepcopy(self.network.state_dict())}

    def _load_learner_state(self, state: dict[str, Any]) -> None:
        super()._load_learner_state(state)
        self.network.load_state_dict(state["network"])

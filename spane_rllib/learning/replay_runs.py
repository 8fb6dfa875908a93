"""Training runs that learn from a replay memory: DQN and discrete SAC."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from spane_rllib.learning.algorithms import DqnSettings, ImitatingDqnSettings, SacSettings
from spane_rllib.learning.batch import Batch
from spane_rllib.learning.dqn import DqnUpdate
from spane_rllib.learning.imitation import Demonstrations, imitate
from spane_rllib.learning.networks import initialise
from spane_rllib.learning.replay import EpisodeReplay
from spane_rllib.learning.rollouts import Episode, Floats, Rollouts, Starts
from spane_rllib.learning.run import Run, timed
from spane_rllib.learning.sac import SacUpdate
from spane_rllib.learning.tensors import device_of


class ReplayRun(Run):
    """One iteration plays `settings.lanes` episodes side by side, then makes the gradient steps they pay for.

    That is one per `settings.episodes_per_gradient_step` episodes once the warm-up is over.
    """

    settings: DqnSettings | SacSettings
    replay: EpisodeReplay
    _update: DqnUpdate | SacUpdate

    @property
    def gradient_steps(self) -> int:
        return self._update.updates

    @property
    def trained_decisions(self) -> int:
        return self.gradient_steps * self.settings.batch_size

    def metrics(self) -> dict[str, float]:
        return {**super().metrics(), "replay_size": len(self.replay)}

    def _learn(self, played: Sequence[Episode], rewards: list[Floats]) -> None:
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
            if self.gradient_steps % self._every == 0 or self.finished:
                self._validate()

    def _step(self, batch: Batch) -> dict[str, float]:
        """Make one gradient step."""
        return self._update.update(batch)

    def _remember(self, episode: Episode, reward: Floats) -> None:
        if episode.terminated:
            self.replay.add_episode(episode.observation, episode.action, reward)
        elif len(reward) > 1:
            # There is no decision after the cut, so the last one before it is what the others bootstrap from.
            before = {name: values[:-1] for name, values in episode.observation.items()}
            final = {name: values[-1] for name, values in episode.observation.items()}
            self.replay.add_episode(before, episode.action[:-1], reward[:-1], False, final)

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


class DqnRun(ReplayRun):
    """Deep Q-learning.

    With `imitate` the network first learns a baseline's decisions; the result is the first to be validated.

    Args:
        network: the online network.
        settings, rollouts, every: see `Run`.
        seed: decides starts, exploration, replay and augmentation.
        target: module to use as target network, else a copy of `network`.
    """

    settings: DqnSettings

    def __init__(
        self,
        network: nn.Module,
        settings: DqnSettings,
        rollouts: Rollouts,
        every: int,
        seed: int,
        target: nn.Module | None = None,
    ) -> None:
        seeds = np.random.SeedSequence(seed).spawn(6)
        starts, exploration, replay, augmentation, imitation, self._demonstration_seed = seeds
        super().__init__(network, settings, rollouts, every, [starts, exploration, imitation])
        self.seconds = {"imitation": 0.0} | self.seconds
        self._imitation = self._generators[2]
        self._imitating = settings if isinstance(settings, ImitatingDqnSettings) else None
        faster = rollouts.for_gradients if settings.compiled_gradients else None
        self._update: DqnUpdate = DqnUpdate(network, settings, target, faster)
        self._average: AveragedModel | None = None
        if settings.weight_averaging:
            self._average = AveragedModel(
                network, multi_avg_fn=get_ema_multi_avg_fn(settings.weight_averaging)
            )
        self.replay = EpisodeReplay(
            settings.replay_capacity,
            settings.n_step,
            settings.discount,
            seed=int(replay.generate_state(1)[0]),
            augmentation=rollouts.augmentation(int(augmentation.generate_state(1)[0])),
        )
        self._epsilon = settings.epsilon_schedule()

    @property
    def _candidate(self) -> nn.Module:
        average: Any = self._average
        return self.network if average is None else average.module

    def metrics(self) -> dict[str, float]:
        return {"epsilon": self._epsilon(self.gradient_steps), **super().metrics()}

    def _play(self, starts: Starts) -> Sequence[Episode]:
        epsilon = self._epsilon(self.gradient_steps)
        return self.rollouts.explore(self.network, epsilon, starts, self._exploration)

    @cached_property
    def _demonstrations(self) -> Demonstrations:
        """Decided by a seed of their own: a run that is continued makes them again and need not save them."""
        assert self._imitating is not None
        decisions = self.rollouts.demonstrations(
            self._imitating.imitation_decisions, np.random.default_rng(self._demonstration_seed)
        )
        return Demonstrations(decisions, self._imitation, self.replay.augmentation)

    def _imitate(self, settings: ImitatingDqnSettings) -> None:
        """The warm start, before the first iteration."""
        with timed(self.seconds, "imitation"):
            self._last["imitation_loss"] = imitate(
                self._update.values, self._demonstrations, settings.imitation_steps, settings.batch_size
            )
        self._update.sync_target()
        if self._average is not None:
            self._average.update_parameters(self.network)
        self._validate()

    def _iterate(self) -> None:
        if self._imitating is not None and self._imitating.imitate and not self.episodes:
            self._imitate(self._imitating)
        super()._iterate()

    def _rewards(self, played: Sequence[Episode], starts: Starts) -> list[Floats]:
        """The reward of every decision, relative to the baseline's for the same decision if there is one."""
        baselines = self.rollouts.baseline_rewards(starts)
        if baselines is None:
            return super()._rewards(played, starts)
        rewards = []
        for episode, baseline in zip(played, baselines, strict=True):
            item = np.arange(len(episode)) if episode.item is None else episode.item
            shared = (item >= 0) & (item < len(baseline))
            # 0 where the baseline's own episode has ended before; what is about nothing stays as it is.
            relative = np.where(item < 0, episode.reward, 0.0)
            relative[shared] = episode.reward[shared] - baseline[item[shared]]
            rewards.append(self.settings.reward_scale * relative)
        return rewards

    def _step(self, batch: Batch) -> dict[str, float]:
        demonstrated = None
        if self._imitating is not None and self._imitating.imitation_weight:
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
        network, settings, rollouts, every: see `Run`.
        seed: decides starts, actions, replay and the critics' initial weights.
    """

    settings: SacSettings

    def __init__(
        self, network: nn.Module, settings: SacSettings, rollouts: Rollouts, every: int, seed: int
    ) -> None:
        *seeds, replay, critics = np.random.SeedSequence(seed).spawn(4)
        super().__init__(network, settings, rollouts, every, seeds)
        first, second = copy.deepcopy(network).cpu(), copy.deepcopy(network).cpu()
        for critic, weights in zip((first, second), critics.generate_state(2), strict=True):
            initialise(critic, int(weights))
            critic.to(device_of(network))
        self._update = SacUpdate(network, (first, second), settings)
        self.replay = EpisodeReplay(
            settings.replay_capacity,
            settings.n_step,
            settings.discount,
            seed=int(replay.generate_state(1)[0]),
        )

    def _play(self, starts: Starts) -> Sequence[Episode]:
        return self.rollouts.sample(self.network, starts, self._exploration)

    def _learner_state(self) -> dict[str, Any]:
        return {**super()._learner_state(), "network": copy.deepcopy(self.network.state_dict())}

    def _load_learner_state(self, state: dict[str, Any]) -> None:
        super()._load_learner_state(state)
        self.network.load_state_dict(state["network"])

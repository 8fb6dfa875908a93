"""Rollouts of any problem that has a Gymnasium environment: one forward pass for all lanes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from spane_rllib.core.errors import UserError
from spane_rllib.learning.batch import MASK, Arrays, Augmentation, Batch
from spane_rllib.learning.networks import greedy_actions, sample_logits
from spane_rllib.learning.rollouts import Episode, Floats
from spane_rllib.learning.tensors import device_of, to_tensors

Environment = gymnasium.Env[Any, Any]
Reset = Mapping[str, Any]
"""Keywords of `reset`, which decide an episode: a seed, or options."""
Choices = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""Actions (B,) or (B, A), and the logs of their probabilities (B,)."""


def total_reward(rewards: Floats, info: Mapping[str, Any]) -> float:
    """The return: what an episode is measured by if nothing else is said."""
    return float(rewards.sum())


def random_seed(random: np.random.Generator) -> Reset:
    """Any episode."""
    return {"seed": int(random.integers(2**31))}


class EnvironmentRollouts:
    """Plays environments side by side; see `Rollouts`.

    Their observations are a `Dict` of arrays with `action_mask`. Actions are one number, or several of a
    `MultiDiscrete` space for networks with `greedy` and `sample` of their own (`networks.PlayingPolicy`).
    Other networks give the values of all actions, or logits.

    Args:
        make: makes an environment.
        lanes: episodes played side by side.
        measure: what episodes are measured by, part of the names of metrics.
        sign: 1 where more of it is better, -1 where less is.
        validation: how the validation episodes begin.
        measured: the measure of an episode, from its rewards and last info.
        draw: how a training episode begins. Equal keywords must give equal arrivals.
    """

    def __init__(
        self,
        make: Callable[[], Environment],
        lanes: int,
        measure: str,
        sign: int,
        validation: Sequence[Reset] = (),
        measured: Callable[[Floats, Mapping[str, Any]], float] = total_reward,
        draw: Callable[[np.random.Generator], Reset] = random_seed,
    ) -> None:
        self.measure, self.sign = measure, sign
        self._make, self._lanes, self._validation = make, lanes, validation
        self._measured, self._draw = measured, draw
        self._environments: list[Environment] = []

    def draw_starts(self, random: np.random.Generator, count: int, group: int = 1) -> list[Reset]:
        drawn = [self._draw(random) for _ in range(count // group)]
        return [reset for reset in drawn for _ in range(group)]

    def explore(
        self, network: nn.Module, epsilon: float, starts: Sequence[Reset], random: np.random.Generator
    ) -> list[Episode]:
        # Only for actions of one number.

        def choose(observation: Arrays) -> Choices:
            action, log_probability = _greedy(network, observation)
            if action.ndim > 1:
                raise UserError("dqn: actions of several parts cannot be drawn at random; use ppo or a2c")
            for row in np.flatnonzero(random.random(len(action)) < epsilon):
                action[row] = random.choice(np.flatnonzero(observation[MASK][row]))
            return action, log_probability

        return self._play(starts, choose)

    def sample(self, network: Any, starts: Sequence[Reset], random: np.random.Generator) -> list[Episode]:
        device = device_of(network)
        generator = torch.Generator(device).manual_seed(int(random.integers(2**63 - 1)))

        def choose(observation: Arrays) -> Choices:
            tensors = to_tensors(observation, device)
            with torch.no_grad():
                if hasattr(network, "sample"):
                    action, log_probability = network.sample(tensors, generator)
                else:
                    action, log_probability = sample_logits(network(tensors), tensors[MASK], generator)
            return action.cpu().numpy(), log_probability.float().cpu().numpy()

        return self._play(starts, choose)

    def greedy(self, network: nn.Module, starts: Sequence[Reset]) -> list[Episode]:
        """Play an episode from each start with the best or likeliest actions."""
        return self._play(starts, lambda observation: _greedy(network, observation))

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The mean measure of the validation episodes."""
        measured = [episode.measured for episode in self.greedy(network, self._validation)]
        return {f"validation_{self.measure}": float(np.mean(measured))}

    def baseline_rewards(self, starts: Sequence[Reset]) -> None:
        """None: no other policy is known."""
        return None

    def demonstrations(self, decisions: int, random: np.random.Generator) -> Batch:
        """Raises `UserError`: no other policy is known."""
        raise UserError("imitate: this problem has no policy to imitate")

    def for_gradients(self, network: nn.Module) -> nn.Module:
        """`network`: nothing faster is known."""
        return network

    def augmentation(self, seed: int) -> Augmentation | None:
        """None: nothing is known to be interchangeable."""
        return None

    def _play(self, starts: Sequence[Reset], choose: Callable[[Arrays], Choices]) -> list[Episode]:
        while len(self._environments) < min(self._lanes, len(starts)):
            self._environments.append(self._make())
        episodes: list[Episode] = []
        for first in range(0, len(starts), self._lanes):
            resets = starts[first : first + self._lanes]
            lanes = [
                _Lane(environment, reset)
                for environment, reset in zip(self._environments, resets, strict=False)
            ]
            while running := [lane for lane in lanes if lane.running]:
                observation = {
                    name: np.stack([lane.observation[name] for lane in running])
                    for name in running[0].observation
                }
                actions, log_probabilities = choose(observation)
                for row, lane in enumerate(running):
                    lane.record({name: values[row] for name, values in observation.items()})
                    lane.step(actions[row], log_probabilities[row])
            episodes += [lane.episode(self._measured) for lane in lanes]
        return episodes


def _greedy(network: nn.Module, observation: Arrays) -> Choices:
    action = greedy_actions(network, observation)
    return action, np.zeros(len(action), np.float32)


class _Lane:
    """One episode on its way."""

    def __init__(self, environment: Environment, reset: Reset) -> None:
        self._environment = environment
        self.observation, self._info = environment.reset(**reset)
        self.running = True
        self._terminated = False
        self._seen: list[Arrays] = []
        self._actions: list[Any] = []
        self._rewards: list[float] = []
        self._log_probabilities: list[np.float32] = []

    def record(self, observation: Arrays) -> None:
        """Keep what the next decision sees; an environment may write to its own arrays again."""
        self._seen.append(observation)

    def step(self, action: Any, log_probability: np.float32) -> None:
        """Take an action."""
        given = int(action) if np.ndim(action) == 0 else action
        self.observation, reward, terminated, truncated, self._info = self._environment.step(given)
        self._actions.append(action)
        self._rewards.append(float(reward))
        self._log_probabilities.append(log_probability)
        self._terminated, self.running = bool(terminated), not (terminated or truncated)

    def episode(self, measured: Callable[[Floats, Mapping[str, Any]], float]) -> Episode:
        """What was recorded."""
        rewards = np.array(self._rewards, np.float64)
        return Episode(
            observation={name: np.stack([seen[name] for seen in self._seen]) for name in self._seen[0]},
            action=np.array(self._actions, np.int64),
            reward=rewards,
            log_probability=np.array(self._log_probabilities, np.float32),
            terminated=self._terminated,
            measured=measured(rewards, self._info),
        )

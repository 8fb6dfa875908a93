"""Rollouts of both objectives: compiled where the network has kernels, else by the environment's steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch import nn

from spane_rllib.core.errors import UserError
from spane_rllib.learning.algorithms import AlgorithmSettings
from spane_rllib.learning.batch import Augmentation, Batch
from spane_rllib.learning.environment_rollouts import EnvironmentRollouts
from spane_rllib.learning.rollouts import Episode, Floats
from spane_rllib.problems.vm_scheduling.algorithms import SlotDqnSettings
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork, has_kernels
from spane_rllib.problems.vm_scheduling.networks.gradients import for_gradients
from spane_rllib.problems.vm_scheduling.rollout import ExploringRollout, RecordedEpisode, play_greedily
from spane_rllib.problems.vm_scheduling.server_permutations import ServerPermutations
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload
from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends
from spane_rllib.problems.vm_scheduling.slot_env import SlotEnv

Rows = npt.NDArray[np.int64]


class SlotStarts(NamedTuple):
    """Where episodes begin, and how many VMs they have at most."""

    rows: Rows  # (E,)
    vm_counts: Rows  # (E,)


class _Player(Protocol):
    """Plays whole episodes of one kind of network."""

    def explore(
        self, network: nn.Module, epsilon: float, starts: SlotStarts, random: np.random.Generator
    ) -> list[Episode]: ...

    def sample(
        self, network: nn.Module, starts: SlotStarts, random: np.random.Generator
    ) -> list[Episode]: ...

    def measure_greedily(self, network: nn.Module, starts: SlotStarts) -> Floats: ...


class SlotRollouts(ABC):
    """Episodes of one workload for one training run; see `learning.rollouts.Rollouts`.

    Args:
        workload, cluster: what is simulated.
        train_rows: half-open range of rows at which training episodes start.
        settings: hyper-parameters of the run.
        validation_rows: (E,) rows at which validation episodes start.
    """

    measure: ClassVar[str]
    sign: ClassVar[int]

    def __init__(
        self,
        workload: Workload,
        cluster: Cluster,
        train_rows: tuple[int, int],
        settings: AlgorithmSettings,
        validation_rows: Rows,
    ) -> None:
        self.workload, self.cluster, self.settings = workload, cluster, settings
        self.train_rows = train_rows
        self.validation_starts = SlotStarts(validation_rows, self.validation_lengths(validation_rows))

    @abstractmethod
    def lengths(self, rows: Rows) -> Rows:
        """VMs that training episodes from these rows have at most."""

    @abstractmethod
    def validation_lengths(self, rows: Rows) -> Rows:
        """The same of validation episodes."""

    @abstractmethod
    def episode(self, recorded: RecordedEpisode) -> Episode:
        """What is learned from a compiled episode."""

    @abstractmethod
    def measured(self, ends: Ends) -> Floats:
        """(E,) measures of finished compiled episodes."""

    @abstractmethod
    def summary(self, measured: Floats) -> dict[str, float]:
        """`validation_<measure>` of (E,) measures of validation episodes, and what else is known."""

    @abstractmethod
    def environment(self) -> SlotEnv:
        """The Gymnasium environment of the same episodes."""

    length_option: ClassVar[str]
    """The environment's name for the number of VMs of an episode."""
    measure_info: ClassVar[str]
    """The environment's name for what is measured."""

    def draw_starts(self, random: np.random.Generator, count: int, group: int = 1) -> SlotStarts:
        rows = np.repeat(random.integers(*self.train_rows, count // group), group)
        return SlotStarts(rows, self.lengths(rows))

    def explore(
        self, network: nn.Module, epsilon: float, starts: SlotStarts, random: np.random.Generator
    ) -> list[Episode]:
        return self._player(network).explore(network, epsilon, starts, random)

    def sample(self, network: nn.Module, starts: SlotStarts, random: np.random.Generator) -> list[Episode]:
        return self._player(network).sample(network, starts, random)

    def validate(self, network: nn.Module) -> dict[str, float]:
        return self.summary(self._player(network).measure_greedily(network, self.validation_starts))

    def baseline_rewards(self, starts: SlotStarts) -> list[Floats] | None:
        return None

    def demonstrations(self, decisions: int, random: np.random.Generator) -> Batch:
        raise UserError("imitate: there is nothing to imitate for this objective")

    def for_gradients(self, network: nn.Module) -> nn.Module:
        return for_gradients(network)

    def augmentation(self, seed: int) -> Augmentation | None:
        """The servers in other orders."""
        if isinstance(self.settings, SlotDqnSettings) and self.settings.augmentation_permutations:
            return ServerPermutations(self.cluster.pairs, self.settings.augmentation_permutations, seed)
        return None

    def _player(self, network: nn.Module) -> _Player:
        return self._compiled if has_kernels(network) else self._stepped

    @cached_property
    def _compiled(self) -> _CompiledPlayer:
        return _CompiledPlayer(self)

    @cached_property
    def _stepped(self) -> _SteppingPlayer:
        return _SteppingPlayer(self)


class _CompiledPlayer:
    """One compiled call over simulator and network."""

    def __init__(self, of: SlotRollouts) -> None:
        self._of = of
        self._rollout = ExploringRollout(of.workload, of.cluster, of.settings.lanes)
        self._networks: dict[nn.Module, CompiledQNetwork] = {}

    def explore(
        self, network: nn.Module, epsilon: float, starts: SlotStarts, random: np.random.Generator
    ) -> list[Episode]:
        return self._episodes(self._rollout.play(self._present(network), epsilon, *starts, random))

    def sample(self, network: nn.Module, starts: SlotStarts, random: np.random.Generator) -> list[Episode]:
        return self._episodes(self._rollout.sample(self._present(network), *starts, random))

    def measure_greedily(self, network: nn.Module, starts: SlotStarts) -> Floats:
        of = self._of
        return of.measured(play_greedily(self._present(network), of.workload, of.cluster, *starts))

    def _episodes(self, recorded: Iterable[RecordedEpisode]) -> list[Episode]:
        return [self._of.episode(each) for each in recorded]

    def _present(self, network: nn.Module) -> CompiledQNetwork:
        """The compiled network with the present weights."""
        if network not in self._networks:
            self._networks[network] = CompiledQNetwork(network)  # type: ignore[arg-type]  # has_kernels
        self._networks[network].refresh()
        return self._networks[network]


class _SteppingPlayer:
    """The environment step by step, the network in torch."""

    def __init__(self, of: SlotRollouts) -> None:
        self._of = of
        self._rollouts = EnvironmentRollouts(
            of.environment,
            of.settings.lanes,
            of.measure,
            of.sign,
            measured=lambda rewards, info: float(info[of.measure_info]),
        )

    def explore(
        self, network: nn.Module, epsilon: float, starts: SlotStarts, random: np.random.Generator
    ) -> list[Episode]:
        return self._rollouts.explore(network, epsilon, self._resets(starts), random)

    def sample(self, network: nn.Module, starts: SlotStarts, random: np.random.Generator) -> list[Episode]:
        return self._rollouts.sample(network, self._resets(starts), random)

    def measure_greedily(self, network: nn.Module, starts: SlotStarts) -> Floats:
        episodes = self._rollouts.greedy(network, self._resets(starts))
        return np.array([episode.measured for episode in episodes])

    def _resets(self, starts: SlotStarts) -> list[dict[str, dict[str, int]]]:
        return [
            {"options": {"start": row, self._of.length_option: count}}
            for row, count in zip(starts.rows.tolist(), starts.vm_counts.tolist(), strict=True)
        ]

"""Scheduling policies by name or model directory, all run through one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled
from spane_rllib.core.errors import UserError
from spane_rllib.core.plugins import is_plugin
from spane_rllib.core.words import near_miss
from spane_rllib.problems.acting import ActingPolicy, checked_action, load_acting_policy
from spane_rllib.problems.vm_scheduling.choice_policy import ChoicePolicy
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS, LIFETIME_HEURISTICS
from spane_rllib.problems.vm_scheduling.lookahead.options import NAME, is_rollout, parse_rollout
from spane_rllib.problems.vm_scheduling.lookahead.policy import RolloutPolicy
from spane_rllib.problems.vm_scheduling.pretrained import model_folder, pretrained_names
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    FragmentationGradient,
    Heuristic,
    Lanes,
    PlacementScore,
    Workload,
)
from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends, play_heuristic
from spane_rllib.problems.vm_scheduling.simulator.fragmentation import FragmentationArrays
from spane_rllib.problems.vm_scheduling.simulator.heuristics import choose
from spane_rllib.problems.vm_scheduling.simulator.rules import LaneState
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

if TYPE_CHECKING:
    from torch import nn

Rows = npt.NDArray[np.int64]
Decide = Callable[[Lanes], int]


class Policy(Protocol):
    """Something that schedules whole episodes."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def identity(self) -> str:
        """What decides its actions."""
        ...

    def accepts(self, servers: int) -> bool:
        """Whether the policy can schedule that many servers."""
        ...

    def play(self, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int) -> Ends:
        """Run one episode of (at most) `vm_counts[e]` VMs from row `starts[e]` for every e."""
        ...

    def decider(self, lanes: Lanes, start: int, seed: int) -> Decide:
        """What chooses the slot in lane 0, as `play` does, in the episode that begins there at `start`."""
        ...


@dataclass(frozen=True)
class _RulePolicy(ABC):
    """A rule of the compiled simulator, which schedules any number of servers."""

    name: str

    @abstractmethod
    def heuristic(self, workload: Workload) -> Heuristic:
        """The rule with the parameters it has on this trace."""

    def accepts(self, servers: int) -> bool:
        """Any number."""
        return True

    def play(self, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int) -> Ends:
        # Only `random` depends on `seed`.
        return play_heuristic(workload, cluster, self.heuristic(workload), starts, vm_counts, seed)

    def decider(self, lanes: Lanes, start: int, seed: int) -> Decide:
        workload, cluster = lanes.workload, lanes.cluster
        code, fragmentation = self.heuristic(workload).compile(workload, cluster.pairs)
        random = np.array([seed << 32 ^ start], np.uint64)  # as `episodes._run_episodes` begins an episode
        return lambda lanes: _choose(code, workload.arrays, lanes.state, random, fragmentation)


@dataclass(frozen=True)
class HeuristicPolicy(_RulePolicy):
    """A heuristic; `fgd` takes its flavours from the first `training_rows` rows of the trace."""

    training_rows: int | None = None

    @property
    def identity(self) -> str:
        return f"{self.name} {self.training_rows}"

    def heuristic(self, workload: Workload) -> Heuristic:
        gradient = None
        if self.name == "fgd":
            gradient = FragmentationGradient.of_trace(workload.trace, last=self.training_rows)
        return Heuristic(self.name, gradient)


@dataclass(frozen=True)
class ScorePolicy(_RulePolicy):
    """A learned score."""

    score: PlacementScore
    identity: str = ""

    def heuristic(self, workload: Workload) -> Heuristic:
        """The score as a heuristic; a `UserError` where nobody waits, since scores are made for waits."""
        if workload.arrays.growth is not None:
            raise UserError(f"policy {self.name}: a placement score schedules for waits, not for allocations")
        return Heuristic("fgd", self.score)


class _SteppedPolicy(ABC):
    """One that is asked for every decision; nothing of it is compiled."""

    @abstractmethod
    def decider(self, lanes: Lanes, start: int, seed: int) -> Decide:
        """What decides an episode that begins at `start`; `Policy.decider`."""

    def play(self, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int) -> Ends:
        # `seed` is not used.
        counters, clocks = [], []
        for start, vm_count in zip(starts.tolist(), vm_counts.tolist(), strict=True):
            lanes = Lanes(workload, cluster)
            lanes.reset(0, start, vm_count)
            decide = self.decider(lanes, start, seed)
            while lanes.running[0]:
                lanes.step(np.array([decide(lanes)]))
            counters.append(lanes.state.counters[0].copy())
            clocks.append(lanes.state.clocks[0].copy())
        return Ends(np.stack(counters), np.stack(clocks))


@dataclass(frozen=True)
class NetworkPolicy(_SteppedPolicy):
    """A trained network that takes the feasible action of highest value."""

    name: str
    network: nn.Module
    identity: str = ""

    def accepts(self, servers: int) -> bool:
        """Whether the network is made for any, or just that, number of servers."""
        return getattr(self.network, "fixed_servers", None) in (None, servers)

    @property
    def server_features(self) -> int | None:
        """What the network sees of a server; None where that is its own business."""
        return getattr(self.network, "server_features", None)

    def play(self, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int) -> Ends:
        # Deterministic, `seed` is not used.
        from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork, has_kernels
        from spane_rllib.problems.vm_scheduling.rollout import play_greedily

        if not has_kernels(self.network):
            return super().play(workload, cluster, starts, vm_counts, seed)
        return play_greedily(CompiledQNetwork(self.network), workload, cluster, starts, vm_counts)

    def decider(self, lanes: Lanes, start: int, seed: int) -> Decide:
        from spane_rllib.learning.networks import greedy_actions
        from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork, has_kernels

        if not has_kernels(self.network):
            return lambda lanes: int(greedy_actions(self.network, lanes.observations.named())[0])
        network = CompiledQNetwork(self.network)
        return lambda lanes: int(network.greedy_actions(*lanes.observations[:3])[0])


@dataclass(frozen=True)
class OwnPolicy(_SteppedPolicy):
    """A policy of the user's own, which sees what the environment shows; made anew for every episode."""

    name: str
    make: Callable[[], ActingPolicy]
    identity: str = ""

    def accepts(self, servers: int) -> bool:
        """Any number, as far as we know."""
        return True

    def decider(self, lanes: Lanes, start: int, seed: int) -> Decide:
        # A `UserError` for an action that is not feasible.
        policy = self.make()

        def decide(lanes: Lanes) -> int:
            observation = {name: array[0].copy() for name, array in lanes.observations.named().items()}
            mask = observation["action_mask"].copy()
            return checked_action(policy.act(observation), mask, self.name)

        return decide


def model_policy(name: str, folder: Path) -> Policy:
    """The policy that takes what the model in `folder` rates best; a `UserError` for no valid model."""
    from spane_rllib.learning.models import model_identity
    from spane_rllib.problems.vm_scheduling.networks.choice import ChoiceNetwork
    from spane_rllib.problems.vm_scheduling.networks.score import ScoreWeights
    from spane_rllib.problems.vm_scheduling.networks.weights import load_model

    model, metadata = load_model(folder)
    identity = model_identity(folder, model)
    if isinstance(model, ScoreWeights):
        return ScorePolicy(name, model.score(), identity)
    if isinstance(model, ChoiceNetwork):
        return ChoicePolicy(name, model, metadata.queue, identity)
    return NetworkPolicy(name, model, identity)


def load_policy(text: str, training_rows: int | None = None, name: str | None = None) -> Policy:
    """The policy that `text` names; models are called `name` in tables (default: `text`).

    That is a heuristic, `rollout[:KEY=VALUE,...]`, a pretrained model, the directory of a saved one, or
    `module:Class`, an `ActingPolicy` of the user's own.

    Raises:
        UserError: none of these, or the directory holds no valid model.
    """
    called = name or text.rstrip("/")
    if text in HEURISTICS or text in LIFETIME_HEURISTICS:
        return HeuristicPolicy(text, training_rows)
    if is_rollout(text):
        return RolloutPolicy(called, parse_rollout(text), training_rows)
    folder = model_folder(text)
    if text and folder.exists():
        return model_policy(called, folder)
    if is_plugin(text):
        own = load_acting_policy(text)
        return OwnPolicy(called, own.make, own.identity)
    raise UserError(
        f"policy {text!r}: neither a heuristic "
        f"({', '.join([*HEURISTICS, *LIFETIME_HEURISTICS])}), nor {NAME}[:KEY=VALUE,...], "
        f"nor shipped "
        f"({', '.join(pretrained_names())}), nor the directory of a saved model, nor module:Class"
        f"{near_miss(text, [*HEURISTICS, *LIFETIME_HEURISTICS, *pretrained_names()])}"
    )


@compiled
def _choose(
    code: int,
    work: WorkloadArrays,
    state: LaneState,
    random: npt.NDArray[np.uint64],
    fragmentation: FragmentationArrays,
) -> int:
    return choose(code, borrowed(work), borrowed(state), 0, random, borrowed(fragmentation))

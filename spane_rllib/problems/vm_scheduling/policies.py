"""Scheduling policies by name or model directory, all run through one interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.pretrained import model_folder, pretrained_names
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    EpisodeResults,
    FragmentationGradient,
    Heuristic,
    PlacementScore,
    Workload,
)
from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends, play_heuristic

if TYPE_CHECKING:
    from spane_rllib.problems.vm_scheduling.networks.base import QNetwork
    from spane_rllib.problems.vm_scheduling.networks.weights import Model

Rows = npt.NDArray[np.int64]


class Policy(Protocol):
    """Something that schedules whole episodes."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    def accepts(self, servers: int) -> bool:
        """Whether the policy can schedule that many servers."""
        ...

    def play(self, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int) -> Ends:
        """Run one episode of (at most) `vm_counts[e]` VMs from row `starts[e]` for every e."""
        ...

    def run(
        self, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int
    ) -> EpisodeResults:
        """What `play` leads to, as waits."""
        ...


class _Waits:
    def run(
        self: Policy, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int
    ) -> EpisodeResults:
        """See `Policy.run`."""
        return EpisodeResults.of_state(*self.play(workload, cluster, starts, vm_counts, seed))


@dataclass(frozen=True)
class HeuristicPolicy(_Waits):
    """A heuristic; `fgd` takes its flavours from the first `training_rows` rows of the trace."""

    name: str
    training_rows: int | None = None

    def accepts(self, servers: int) -> bool:
        """Heuristics schedule any number of servers."""
        return True

    def play(self, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int) -> Ends:
        """See `Policy.play`; only `random` depends on `seed`."""
        return play_heuristic(workload, cluster, self.heuristic(workload), starts, vm_counts, seed)

    def heuristic(self, workload: Workload) -> Heuristic:
        """The heuristic with the parameters it has on this trace."""
        gradient = None
        if self.name == "fgd":
            gradient = FragmentationGradient.of_trace(workload.trace, last=self.training_rows)
        return Heuristic(self.name, gradient)


@dataclass(frozen=True)
class NetworkPolicy(_Waits):
    """A trained network that takes the feasible action of highest value."""

    name: str
    network: QNetwork

    def accepts(self, servers: int) -> bool:
        """Whether the network is made for any, or just that, number of servers."""
        return self.network.fixed_servers in (None, servers)

    def play(self, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int) -> Ends:
        """See `Policy.play`; deterministic, `seed` is not used."""
        from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
        from spane_rllib.problems.vm_scheduling.rollout import play_greedily

        return play_greedily(CompiledQNetwork(self.network), workload, cluster, starts, vm_counts)


@dataclass(frozen=True)
class ScorePolicy(_Waits):
    """A learned score, which schedules any number of servers."""

    name: str
    score: PlacementScore

    def accepts(self, servers: int) -> bool:
        """Scores schedule any number of servers."""
        return True

    def play(self, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int) -> Ends:
        """See `Policy.play`; deterministic, `seed` is not used."""
        return play_heuristic(workload, cluster, self.heuristic(workload), starts, vm_counts, seed)

    def heuristic(self, workload: Workload) -> Heuristic:
        """The score as a heuristic; a `UserError` where nobody waits, since scores are made for waits."""
        if workload.arrays.growth is not None:
            raise UserError(f"policy {self.name}: a placement score schedules for waits, not for allocations")
        return Heuristic("fgd", self.score)


def policy_of(name: str, model: Model) -> Policy:
    """The policy that takes what `model` rates best."""
    from spane_rllib.problems.vm_scheduling.networks.score import ScoreWeights

    if isinstance(model, ScoreWeights):
        return ScorePolicy(name, model.score())
    return NetworkPolicy(name, model)


def load_policy(text: str, training_rows: int | None = None) -> Policy:
    """The policy that `text` names: a heuristic, a pretrained model, or the directory of a saved one.

    Raises:
        UserError: none of these, or the directory holds no valid model.
    """
    if text in HEURISTICS:
        return HeuristicPolicy(text, training_rows)
    folder = model_folder(text)
    if not text or not folder.exists():
        raise UserError(
            f"policy {text!r}: neither a heuristic ({', '.join(HEURISTICS)}), nor shipped "
            f"({', '.join(pretrained_names())}), nor the directory of a saved model"
        )
    from spane_rllib.problems.vm_scheduling.networks.weights import load_model

    model, _ = load_model(folder)
    return policy_of(text.rstrip("/"), model)

"""Policies that choose whom to place, beside where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.queue_disciplines import choices_of
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Lanes, Workload
from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from spane_rllib.problems.vm_scheduling.networks.choice import ChoiceNetwork

    Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ChoicePolicy:
    """A trained network that does what it rates best: place one of the first in the queue, or wait.

    Args:
        name: what tables call it.
        network: a `ChoiceNetwork`.
        queue: `skip:K`, of the first K of which it chooses; it plays under no other discipline.
        identity: what decides its actions.
    """

    name: str
    network: ChoiceNetwork
    queue: str
    identity: str = ""

    def accepts(self, servers: int) -> bool:
        """Any number."""
        return True

    @property
    def server_features(self) -> int:
        """What the network sees of a server."""
        return self.network.server_features

    def play(self, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int) -> Ends:
        """One episode after the other, none of which depends on the others; `seed` is not used."""
        from spane_rllib.problems.vm_scheduling.choice_rollout import ChoiceRollout
        from spane_rllib.problems.vm_scheduling.networks.choice_kernel import CompiledChoice

        rollout = ChoiceRollout(workload, cluster, choices_of(self.queue))
        return rollout.ends(CompiledChoice(self.network), starts, vm_counts)

    def decider(self, lanes: Lanes, start: int, seed: int) -> Callable[[Lanes], int]:
        """None: raises `UserError`, since lanes ask for slots alone."""
        self.refuse()

    def refuse(self) -> NoReturn:
        """Raise a `UserError` where only slots are asked for."""
        raise UserError(
            f"policy {self.name}: chooses whom to place, too; it can be evaluated, but neither recorded nor "
            "deployed"
        )

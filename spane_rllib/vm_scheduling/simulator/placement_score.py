"""A learned rule of placement: fragmentation gradient with terms for servers and for bursts of VMs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spane_rllib.errors import UserError
from spane_rllib.vm_scheduling.simulator.fragmentation import FragmentationGradient
from spane_rllib.vm_scheduling.simulator.score_terms import COMPANY_TERMS, SERVER_TERMS

TERMS = ("fullness", *SERVER_TERMS, *COMPANY_TERMS)


@dataclass(frozen=True)
class PlacementScore(FragmentationGradient):
    """`FragmentationGradient` with eight more numbers; what `policy_search` looks for.

    The cost of a placement depends on the server's state after it and on where the VM's burst was placed, so
    that servers, and the two nodes of a server, may be exchanged without any change. Beside the capacity that
    is lost it has these weighted terms, where shares are those of one node and "burst" are the VMs that
    arrived up to a second before this one. Neither lifetimes nor anything that is still to come is used.
    VMs of one burst and flavour are mostly deployed and deleted together (on Huawei-East-1, the logarithms of
    their lifetimes correlate with 0.8), so that a server that hosts them together is soon free again.

    Args:
        opening: the server was empty.
        imbalance: change of the difference between the free CPU shares of the two nodes.
        mismatch: change of the differences between free CPU and memory share, summed over the nodes.
        remnant: CPU is left over on the node.
        siblings: taken off the cost where a VM of the burst with the same flavour was placed.
        sibling_share: taken off the cost, times the share of the server's CPU that those VMs asked for.
        companions: taken off the cost where a VM of the burst with another flavour was placed.
    """

    opening: float = 0.0
    imbalance: float = 0.0
    mismatch: float = 0.0
    remnant: float = 0.0
    siblings: float = 0.0
    sibling_share: float = 0.0
    companions: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.isfinite([*self.terms, *self.company]).all():
            raise UserError("placement score: its terms must be finite numbers")

    @property
    def terms(self) -> tuple[float, ...]:
        """Weights of the `SERVER_TERMS`."""
        return self.opening, self.imbalance, self.mismatch, self.remnant

    @property
    def company(self) -> tuple[float, ...]:
        """Weights of the `COMPANY_TERMS`."""
        return self.siblings, self.sibling_share, self.companions

    @property
    def vector(self) -> npt.NDArray[np.float64]:
        """(F + 8,) all weights: those of the flavours, then `TERMS`."""
        return np.array([*self.weights, self.fullness, *self.terms, *self.company])

    @classmethod
    def of_vector(
        cls, flavours: tuple[tuple[float, float], ...], vector: npt.NDArray[np.float64]
    ) -> PlacementScore:
        """The inverse of `vector`."""
        weights, rest = vector[: len(flavours)], vector[len(flavours) :]
        return cls(flavours, tuple(map(float, weights)), **dict(zip(TERMS, map(float, rest), strict=True)))

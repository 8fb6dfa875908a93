"""What a mapping is judged by, in whole numbers: the sum over machines of a cost that depends on what is
free.

The fragment rate of X cores, FR_X = sum of (f mod X) / sum of f over the free cores f of all NUMA nodes, is
the share of free cores on which no VM of X cores fits. The denominator does not change by migration, so that
costs are compared in place of rates.
"""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

from spane_rllib.core.compiling import inlined
from spane_rllib.core.errors import UserError

_LARGE = 64
"""Cores of the VM, half on each node, of the second part of the mixed objective."""


class Objective(NamedTuple):
    """Weights of the parts of the cost; see `machine_cost`. The objective's value is cost / scale."""

    unit: int = 16
    weight: int = 1
    large: int = _LARGE
    large_weight: int = 0
    memory_unit: int = 32_768
    memory_weight: int = 0
    scale: int = 1
    free_cores: int = 1
    """Of the whole mapping."""

    @property
    def separable(self) -> bool:
        """Whether it is the fragment rate of cores alone, a sum over NUMA nodes."""
        return self.large_weight == 0 and self.memory_weight == 0

    def value(self, cost: int) -> float:
        """The rate, from 0 to 1, that a cost means."""
        return cost / self.scale


@inlined
def machine_cost(objective, f0, f1, m0, m1):  # type: ignore[no-untyped-def]
    """Cost of a machine with f0 and f1 cores, m0 and m1 MB free on its nodes.

    That is weight * (f0 mod X + f1 mod X), plus large_weight * (f0 + f1 - 64 * slots) where slots of 64 cores
    need 32 on each node, plus memory_weight * (m0 mod Y + m1 mod Y).
    """
    cost = objective.weight * (f0 % objective.unit + f1 % objective.unit)
    if objective.large_weight != 0:
        slots = min(f0, f1) // (objective.large // 2)
        cost += objective.large_weight * (f0 + f1 - objective.large * slots)
    if objective.memory_weight != 0:
        cost += objective.memory_weight * (m0 % objective.memory_unit + m1 % objective.memory_unit)
    return cost


def make_objective(text: str, free_cores: int, free_memory: int) -> Objective:
    """The objective that `text` means.

    Args:
        text: `fr16` or any other whole number of cores; `mix:0.7`, 0.7 * FR16 + 0.3 * FR64, a slot of 64
        cores
            being 32 on each node; `memory:0.7`, 0.7 * FR16 + 0.3 * the same of memory in units of 32 GiB.
        free_cores, free_memory: sums over the mapping.

    Raises:
        UserError: it means none.
    """
    kind, _, rest = text.partition(":")
    cores, memory = max(free_cores, 1), max(free_memory, 1)
    if kind.startswith("fr") and kind[2:].isdecimal() and 1 <= int(kind[2:]) <= 4096 and not rest:
        return Objective(unit=int(kind[2:]), scale=cores, free_cores=cores)
    try:
        share = float(rest)
        thousandths = round(1000 * share)
        fits = abs(1000 * share - thousandths) < 1e-6 and 0 <= thousandths <= 1000
    except (ValueError, OverflowError):
        fits = False
    if not fits or kind not in ("mix", "memory"):
        raise UserError(
            f"objective {text!r}: must be fr16 (or another number of cores), mix:SHARE or memory:SHARE with "
            "a SHARE from 0 to 1 in thousandths"
        )
    if kind == "mix":
        return Objective(
            weight=thousandths, large_weight=1000 - thousandths, scale=1000 * cores, free_cores=cores
        )
    # Both rates over one denominator, the product of theirs without what they share.
    shared = gcd(cores, memory)
    return Objective(
        weight=thousandths * (memory // shared),
        memory_weight=(1000 - thousandths) * (cores // shared),
        scale=1000 * cores * (memory // shared),
        free_cores=cores,
    )

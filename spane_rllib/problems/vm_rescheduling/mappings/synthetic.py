"""Synthetic mappings that resemble the published ones; one number decides a map.

VMs are placed largest first, each on the tighter of D random places with room, and then many of them, drawn
at random, leave and are placed anew by the same rule, as when they end and others begin. How many cores are
free and D decide how full and how fragmented machines are. Nothing here is the published data: see
docs/vm_rescheduling.md for how far its figures are met.
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import compiled
from spane_rllib.problems.vm_rescheduling.mappings.mapping import (
    NODE_CORES,
    NODE_MEMORY,
    Integers,
    Mapping,
    mapping_of,
)

SPLITS: Dictionary[str, tuple[int, int]] = {
    "train": (0, 4000),
    "validation": (6000, 6200),
    "test": (6200, 6400),
}
"""Numbers of the maps of each split, [from, to), as in the published data."""

# Cores of a VM: VMs on one node, VMs on both, of the published medium and large mappings.
_MEDIUM = {2: (337, 0), 4: (906, 3), 8: (311, 57), 16: (184, 46), 32: (61, 50), 64: (0, 130), 88: (0, 4)}
_LARGE = {
    2: (1030, 0),
    4: (670, 10),
    8: (617, 84),
    16: (767, 152),
    32: (253, 479),
    64: (0, 266),
    84: (0, 2),
    88: (0, 216),
}


@dataclass(frozen=True)
class Kind:
    """A family of mappings.

    Args:
        title: one line for people.
        machines: P.
        vms: cores to (VMs on one node, VMs on both).
        free: least and most free cores of a mapping of 279 machines, or as many as all VMs leave.
        choices: places that a VM chooses between, D: the more, the less fragmented.
        relocations: VMs that leave and are placed anew.
        memory_ratios: GiB of a core, each as likely as the others.
        group_size: VMs of an anti-affinity group, 0: none.
    """

    title: str
    machines: int
    vms: Dictionary[int, tuple[int, int]]
    free: tuple[int, int] | None
    choices: int = 2
    relocations: int = 1200
    memory_ratios: tuple[float, ...] = (2.0,)
    group_size: int = 0


KINDS: Dictionary[str, Kind] = {
    "high": Kind("279 machines, nine tenths full, as the published medium ones", 279, _MEDIUM, (2300, 2600)),
    "mid": Kind("279 machines, two thirds full", 279, _MEDIUM, (8200, 9000), choices=6),
    "low": Kind("279 machines, two fifths full", 279, _MEDIUM, (14_700, 15_500), choices=6),
    "large": Kind(
        "1,176 machines as the published large ones",
        1176,
        _LARGE,
        None,
        relocations=5000,
        memory_ratios=(4.0,),
    ),
    "multi": Kind(
        "280 machines and VMs of 1, 2 and 4 GiB a core, so that memory binds as well",
        280,
        {2: (160, 0), 4: (420, 2), 8: (180, 30), 16: (120, 60), 32: (60, 80), 64: (0, 88)},
        None,
        choices=4,
        memory_ratios=(2.0, 4.0, 8.0),
    ),
    "affinity": Kind(
        "as high, and every VM is in a group of ten that may not share machines",
        279,
        _MEDIUM,
        (2300, 2600),
        group_size=10,
    ),
}


@compiled
def _take(
    free: Integers, memory: Integers, on: Integers, at: int, vm: Integers, group: int, sign: int
) -> None:
    for node in range(2):
        if vm[2] != 0 or node == at % 2:
            free[at // 2, node] -= sign * vm[0]
            memory[at // 2, node] -= sign * vm[1]
    if group >= 0:
        on[at // 2, group] += sign


@compiled
def _choose(
    free: Integers,
    memory: Integers,
    on: Integers,
    vm: Integers,
    group: int,
    draws: npt.NDArray[np.float64],
) -> int:
    """The tightest of several random slots with room where none of its group is; -1 where there is none."""
    slots = np.empty(2 * len(free), np.int64)
    cores, mb, double = vm[0], vm[1], vm[2] != 0
    count = 0
    for machine in range(len(free)):
        first = free[machine, 0] >= cores and memory[machine, 0] >= mb
        second = free[machine, 1] >= cores and memory[machine, 1] >= mb
        if not (first or second) or (group >= 0 and on[machine, group] > 0):
            continue
        if double:
            first, second = first and second, False
        if first:
            slots[count] = 2 * machine
            count += 1
        if second:
            slots[count] = 2 * machine + 1
            count += 1
    best, least = -1, np.iinfo(np.int64).max
    for draw in draws if count else draws[:0]:
        slot = slots[int(draw * count)]
        left = free[slot // 2, slot % 2] if vm[2] == 0 else free[slot // 2, 0] + free[slot // 2, 1]
        if left < least:
            best, least = slot, left
    return best


@compiled
def _place(
    vms: Integers,
    group: Integers,
    free: Integers,
    memory: Integers,
    on: Integers,
    draws: npt.NDArray[np.float64],
    again: Integers,
    place: Integers,
) -> None:
    """Place every VM in turn and then those in `again` anew; `place` is (V,) slots, -1 where none had
    room."""
    for k in range(len(vms) + len(again)):
        vm = k if k < len(vms) else again[k - len(vms)]
        if place[vm] >= 0:
            _take(free, memory, on, place[vm], vms[vm], group[vm], -1)
        elif k >= len(vms):
            continue
        place[vm] = _choose(free, memory, on, vms[vm], group[vm], draws[k])
        if place[vm] >= 0:
            _take(free, memory, on, place[vm], vms[vm], group[vm], 1)


def most_vms(kind: str, machines: int | None = None) -> int:
    """VMs that a map can have at most: somewhat more than its share where there are other machines."""
    family = KINDS[kind]
    total = sum(map(sum, family.vms.values()))
    count = machines or family.machines
    return total if count == family.machines else -(-5 * total * count // (4 * family.machines))


def generate(kind: str, number: int, machines: int | None = None) -> Mapping:
    """The map of this number, of a kind in `KINDS`.

    Args:
        kind: which family.
        number: decides the map; those of `SPLITS` are for training, validation and test.
        machines: another number of machines, with VMs in proportion; None for the kind's own.
    """
    family = KINDS[kind]
    count = machines or family.machines
    random = np.random.default_rng([number, count, sorted(KINDS).index(kind)])
    rows = [
        (cores, double)
        for cores, amounts in family.vms.items()
        for double, amount in enumerate(amounts)
        for _ in range(amount)
    ]
    sizes = np.array(rows, np.int64)[random.permutation(len(rows))][: most_vms(kind, machines)]
    share = count / family.machines
    total = 2 * count * NODE_CORES
    if family.free is None:
        sizes = sizes[: round(len(sizes) * share)]
    else:
        aim = share * random.uniform(*family.free)
        used = np.cumsum(sizes[:, 0])
        sizes = sizes[: max(1, int(np.searchsorted(used, total - aim, side="right")))]
    sizes = sizes[np.lexsort((sizes[:, 1], -sizes[:, 0]))]
    ratio = random.choice(np.array(family.memory_ratios), len(sizes))
    memory = (sizes[:, 0] * ratio * 1024).astype(np.int64)
    # Whole nodes of the richest ratio would not fit; the published 22xlarge has 4,096 MB less a node.
    memory = np.minimum(memory, (NODE_MEMORY - 4164) * (1 + sizes[:, 1]))
    group = np.full(len(sizes), -1, np.int64)
    if family.group_size:
        group = random.permutation(len(sizes)) // family.group_size
    groups = int(group.max()) + 1
    vms = np.stack([sizes[:, 0] // (1 + sizes[:, 1]), memory // (1 + sizes[:, 1]), sizes[:, 1]], axis=1)
    again = random.integers(len(vms), size=round(family.relocations * share))
    draws = random.random((len(vms) + len(again), family.choices))
    place = np.full(len(vms), -1, np.int64)
    capacity = np.full((count, 2), NODE_CORES), np.full((count, 2), NODE_MEMORY)
    on = np.zeros((count, groups), np.int64)
    _place(vms, group, capacity[0].copy(), capacity[1].copy(), on, draws, again, place)
    # Those for which no room was left are not there; the others are in the order of machines.
    order = np.lexsort((place % 2, place // 2))
    order = order[place[order] >= 0]
    group = group[order]
    if family.group_size:
        group = np.unique(group, return_inverse=True)[1].reshape(-1)
    return mapping_of(
        f"{kind}-{number}" if machines is None else f"{kind}{count}-{number}",
        capacity,
        sizes[order, 0],
        memory[order],
        sizes[order, 1] != 0,
        place[order] // 2,
        np.where(sizes[order, 1] != 0, 0, place[order] % 2),
        group,
    )

"""A mapping: which VM runs where, in whole cores and MB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError, one_line

Integers = npt.NDArray[np.int64]

NODES = 2
"""NUMA nodes of a machine."""
NODE_CORES, NODE_MEMORY = 44, 184_388
"""Cores and MB of a NUMA node of the published machines."""


@dataclass(frozen=True)
class Mapping:
    """P machines of two NUMA nodes and V VMs on them.

    A double VM has half of its cores and memory on each node of its machine; any other VM lies on one node.
    VMs of one group must not share a machine (anti-affinity).

    Args:
        name: for people.
        machine_ids: (P,) names of the machines that are in use, in the order of the file.
        capacity_cores: (P, 2) of each node.
        capacity_memory: (P, 2) of each node, MB.
        vm_ids: (V,)
        vm_types: (V,) names of types, for people.
        cores: (V,) of the whole VM.
        memory: (V,) of the whole VM, MB.
        double: (V,) whether it is on both nodes.
        machine: (V,) where it is, an index.
        node: (V,) the node, 0 for a double VM.
        group: (V,) number of its anti-affinity group, -1: none.
        group_ids: names of the groups.
    """

    name: str
    machine_ids: tuple[str, ...]
    capacity_cores: Integers
    capacity_memory: Integers
    vm_ids: tuple[str, ...]
    vm_types: tuple[str, ...]
    cores: Integers
    memory: Integers
    double: npt.NDArray[np.bool_]
    machine: Integers
    node: Integers
    group: Integers
    group_ids: tuple[str, ...] = ()

    @property
    def machines(self) -> int:
        """P"""
        return len(self.machine_ids)

    @property
    def vms(self) -> int:
        """V"""
        return len(self.vm_ids)

    def _used(self, amounts: Integers) -> Integers:
        used = np.zeros((self.machines, NODES), np.int64)
        single, double = ~self.double, self.double
        np.add.at(used, (self.machine[single], self.node[single]), amounts[single])
        np.add.at(used, self.machine[double], (amounts[double] // 2)[:, None])
        return used

    @property
    def free_cores(self) -> Integers:
        """(P, 2) capacity less what the VMs take."""
        return self.capacity_cores - self._used(self.cores)

    @property
    def free_memory(self) -> Integers:
        """(P, 2) capacity less what the VMs take, MB."""
        return self.capacity_memory - self._used(self.memory)

    def moved(self, machine: Integers, node: Integers) -> Mapping:
        """The same VMs elsewhere."""
        return replace(self, machine=machine.copy(), node=node.copy())

    def checked(self, where: str = "") -> Mapping:
        """This mapping; raises a `UserError` that names what does not fit or may not be together."""
        where = where or self.name
        for free, unit in ((self.free_cores, "cores"), (self.free_memory, "MB of memory")):
            if (free < 0).any():
                machine, node = np.argwhere(free < 0)[0]
                raise UserError(
                    one_line(
                        f"{where}: host {self.machine_ids[machine]}: the VMs on NUMA node {node} need "
                        f"{-free[machine, node]:,} {unit} more than it has"
                    )
                )
        grouped = np.flatnonzero(self.group >= 0)
        pairs = self.machine[grouped] * (len(self.group_ids) + 1) + self.group[grouped]
        order = np.argsort(pairs, kind="stable")
        same = np.flatnonzero(np.diff(pairs[order]) == 0)
        if len(same):
            first, second = grouped[order[same[0]]], grouped[order[same[0] + 1]]
            raise UserError(
                one_line(
                    f"{where}: VM {self.vm_ids[second]}: is on host {self.machine_ids[self.machine[second]]} "
                    f"with VM {self.vm_ids[first]} of its group {self.group_ids[self.group[first]]}"
                )
            )
        return self


def type_names(cores: Integers) -> tuple[str, ...]:
    """(V,) names of types by cores, as the published data has them."""
    known = {2: "large", 4: "xlarge"}
    return tuple(known.get(count) or f"{count // 4}xlarge" for count in cores.tolist())


def numbered(prefix: str, count: int) -> tuple[str, ...]:
    """prefix_0, prefix_1, ..."""
    return tuple(f"{prefix}_{i}" for i in range(count))


def mapping_of(
    name: str,
    capacity: tuple[Integers, Integers],
    cores: Sequence[int] | Integers,
    memory: Sequence[int] | Integers,
    double: Sequence[bool] | npt.NDArray[np.bool_],
    machine: Sequence[int] | Integers,
    node: Sequence[int] | Integers,
    group: Sequence[int] | Integers | None = None,
) -> Mapping:
    """A mapping with made-up names.

    Args:
        capacity: cores and memory (MB), (P, 2) each.
        name, cores, memory, double, machine, node, group: see `Mapping`; without `group` there are none.
    """
    count = len(cores)
    groups = np.full(count, -1, np.int64) if group is None else np.asarray(group, np.int64)
    whole = np.asarray(cores, np.int64)
    return Mapping(
        name=name,
        machine_ids=numbered("pm", len(capacity[0])),
        capacity_cores=np.asarray(capacity[0], np.int64),
        capacity_memory=np.asarray(capacity[1], np.int64),
        vm_ids=numbered("vm", count),
        vm_types=type_names(whole),
        cores=whole,
        memory=np.asarray(memory, np.int64),
        double=np.asarray(double, bool),
        machine=np.asarray(machine, np.int64),
        node=np.asarray(node, np.int64),
        group=groups,
        group_ids=numbered("group", int(groups.max(initial=-1)) + 1),
    ).checked()

"""Options: what may become of one NUMA node, or of one machine with its double VMs, priced by dynamic
programs.

An option says how many VMs of each class leave and how many come. VMs of a class are alike, so that all that
options have to agree on is that of each class as many come as leave, and that no more than M leave. Given
what a leaving and a coming VM of each class are worth, the best option of a node is a pair of knapsacks:
which VMs to let go to free x units, and which to take in to fill y units. See `exchange` for where the
prices come from.

Units are the greatest common divisor of all cores, so that the tables are short.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import compiled

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Classes(NamedTuple):
    """VMs that are alike, and where they are; sizes are of each node that a VM is on."""

    single: Integers  # (A,) units of the classes on one node
    double: Integers  # (B,) units of those on both
    single_memory: Integers  # (A,) MB
    double_memory: Integers  # (B,) MB
    on_node: Integers  # (P, 2, A) VMs on each node that may leave
    on_machine: Integers  # (P, B) double VMs on each machine that may leave
    free: Integers  # (P, 2) units
    memory: Integers  # (P, 2) MB
    capacity: int  # units of the largest node
    worth: Floats  # (U + 1, U + 1) of a machine by the units free on its nodes, U = capacity
    node_worth: Floats  # (U + 1,) of a node; worth[x, y] = node_worth[x] + node_worth[y] where `separable`
    separable: bool  # whether nodes can be priced each by itself


class Prices(NamedTuple):
    """What a leaving (negative, as a rule) and a coming VM of each class are worth, in slots."""

    leave_single: Floats  # (A,)
    come_single: Floats  # (A,)
    leave_double: Floats  # (B,)
    come_double: Floats  # (B,)


@compiled
def _fill(sizes: Integers, most: Integers, worth: Floats, best: Floats, take: Integers) -> None:
    """The most that a choice of items of each total size is worth, -inf where there is none.

    `best` is (U + 1,); `take[k, x]` is how many items of class k are in the best choice of classes 0 to k.
    """
    best[:] = -np.inf
    best[0] = 0.0
    before = best.copy()
    for k in range(len(sizes)):
        before[:] = best
        take[k] = 0
        for x in range(sizes[k], len(best)):
            for count in range(1, most[k] + 1):
                rest = x - count * sizes[k]
                if rest < 0:
                    break
                value = before[rest] + count * worth[k]
                if value > best[x] + 1e-12:
                    best[x] = value
                    take[k, x] = count


@compiled
def _unpack(sizes: Integers, take: Integers, total: int, sign: int, change: Integers) -> None:
    """Add the items of the best choice of a total size to `change`, times `sign`."""
    x = total
    for k in range(len(sizes) - 1, -1, -1):
        count = take[k, x]
        change[k] += sign * count
        x -= count * sizes[k]


@compiled
def _net(leave: Floats, come: Floats, net: Floats, left: Integers) -> None:
    """(2U + 1,) the most that a net change of -U to U free units is worth, and the units that then leave."""
    top = len(leave) - 1
    net[:] = -np.inf
    for x in range(len(leave)):
        for y in range(len(come)):
            value = leave[x] + come[y]
            if value > net[x - y + top] + 1e-12:
                net[x - y + top] = value
                left[x - y + top] = x


@compiled
def price_options(
    classes: Classes,
    prices: Prices,
    least: Floats,
    every: bool,
    rows: Integers,
    changes: Integers,
    values: Floats,
) -> tuple[int, float]:
    """The options that are worth more than their node or machine is priced at.

    Args:
        classes, prices: see there.
        least: (P, 3) what an option of node 0, of node 1, and of the machine with its double VMs has to
        exceed.
        every: the best option of every net change in place of the best one.
        rows: (N, 2) filled with machine and node, 2 for the machine.
        changes: (N, 3, L) filled with VMs that leave node 0, node 1 and both, by class; negative: that come.
            The third block counts double VMs; L is the larger number of classes.
        values: (N,) filled with the slots gained.

    Returns:
        How many options there are, at most N; and the sum over machines of what their best is worth at these
        prices, by which the Lagrangian bound is made: the two nodes by themselves, or with double VMs.
    """
    singles, doubles = len(classes.single), len(classes.double)
    top, separable, node_worth = classes.capacity, classes.separable, classes.node_worth
    come_single, come_double = np.empty(top + 1), np.empty(top + 1)
    take_come = np.zeros((singles, top + 1), np.int64)
    take_come_double = np.zeros((doubles, top + 1), np.int64)
    _fill(classes.single, top // classes.single, prices.come_single, come_single, take_come)
    _fill(classes.double, top // classes.double, prices.come_double, come_double, take_come_double)
    leave, take_leave = np.empty((3, top + 1)), np.zeros((3, max(singles, doubles), top + 1), np.int64)
    net, left = np.empty((3, 2 * top + 1)), np.zeros((3, 2 * top + 1), np.int64)
    ends = np.zeros((2 * top + 1, 2), np.int64)
    count, total = 0, 0.0
    whole, none = 0 * top + 2, 0 * top  # not literals, each of which would be compiled for
    for machine in range(len(classes.free)):
        for node in range(2):
            _fill(
                classes.single,
                classes.on_node[machine, node],
                prices.leave_single,
                leave[node],
                take_leave[node],
            )
            _net(leave[node], come_single, net[node], left[node])
        _fill(classes.double, classes.on_machine[machine], prices.leave_double, leave[2], take_leave[2])
        _net(leave[2], come_double, net[2], left[2])
        alone = 0.0
        for node in range(2):
            if not separable:
                break
            free = classes.free[machine, node]
            bound, chosen, highest = 0.0, -1, least[machine, node] + 1e-7
            for end in range(top + 1):
                e = end - free + top
                value = net[node, e] + node_worth[end] - node_worth[free]
                bound = max(bound, value)
                if value > (least[machine, node] + 1e-7 if every else highest) and end != free:
                    highest, chosen = value, end
                    if every:
                        ends[0, node] = chosen
                        count = _add(classes, machine, node, none, ends[0], left, take_leave,
                        take_come,
                                     take_come_double, rows, changes, values, count)  # fmt: skip
            if chosen >= 0 and not every:
                ends[0, node] = chosen
                count = _add(classes, machine, node, none, ends[0], left, take_leave, take_come,
                             take_come_double, rows, changes, values, count)  # fmt: skip
            alone += bound
        # With double VMs: the best of the nodes after a net change of d on both.
        first, second = classes.free[machine, 0], classes.free[machine, 1]
        now = classes.worth[first, second]
        bound, chosen, highest = alone, -top - 1, least[machine, 2] + 1e-7
        for d in range(-top, top + 1):
            idle = d == 0 and left[2, top] == 0
            if net[2, d + top] == -np.inf or (separable and idle):
                continue
            value = net[2, d + top] - now + _best_ends(classes, first + d, second + d, net, ends[d + top])
            bound = max(bound, value)
            still = idle and ends[top, 0] == first and ends[top, 1] == second
            if value > (least[machine, 2] + 1e-7 if every else highest) and not still:
                highest, chosen = value, d
                if every:
                    count = _add(classes, machine, whole, d, ends[d + top], left, take_leave, take_come,
                                 take_come_double, rows, changes, values, count)  # fmt: skip
        if chosen >= -top and not every:
            count = _add(classes, machine, whole, chosen, ends[chosen + top], left, take_leave, take_come,
                         take_come_double, rows, changes, values, count)  # fmt: skip
        total += bound
    return count, total


@compiled
def _best_ends(classes: Classes, first: int, second: int, net: Floats, ends: Integers) -> float:
    """The most that nodes with so many free units can be made worth; fills `ends`, what is free then."""
    top = classes.capacity
    best = -np.inf
    if classes.separable:
        parts = np.full(2, -np.inf)
        for node in range(2):
            free = first if node == 0 else second
            for end in range(max(0, free - top), min(top, free + top) + 1):
                value = net[node, end - free + top] + classes.node_worth[end]
                if value > parts[node] + 1e-12:
                    parts[node] = value
                    ends[node] = end
        return parts[0] + parts[1]
    for end in range(max(0, first - top), min(top, first + top) + 1):
        part = net[0, end - first + top]
        if part == -np.inf:
            continue
        for other in range(max(0, second - top), min(top, second + top) + 1):
            value = part + net[1, other - second + top] + classes.worth[end, other]
            if value > best + 1e-12:
                best = value
                ends[0], ends[1] = end, other
    return best


@compiled
def _node_part(
    classes: Classes,
    node: int,
    e: int,
    left: Integers,
    take_leave: Integers,
    take_come: Integers,
    change: Integers,
) -> None:
    top = classes.capacity
    leaving = left[node, e + top]
    _unpack(classes.single, take_leave[node], leaving, 1, change)
    _unpack(classes.single, take_come, leaving - e, -1, change)


@compiled
def _fits(classes: Classes, machine: int, changes: Integers) -> bool:
    """Whether memory suffices after an option; the programs know of cores alone."""
    for node in range(2):
        memory = classes.memory[machine, node]
        for k in range(len(classes.single)):
            memory += changes[node, k] * classes.single_memory[k]
        for k in range(len(classes.double)):
            memory += changes[2, k] * classes.double_memory[k]
        if memory < 0:
            return False
    return True


@compiled
def _add(
    classes: Classes,
    machine: int,
    which: int,
    d: int,
    ends: Integers,
    left: Integers,
    take_leave: Integers,
    take_come: Integers,
    take_come_double: Integers,
    rows: Integers,
    changes: Integers,
    values: Floats,
    count: int,
) -> int:
    """Write down the option that leaves `ends` free, if there is memory for it; returns the new count."""
    if count == len(rows):
        return count
    top, change = classes.capacity, changes[count]
    change[:] = 0
    value = 0.0
    for node in range(2):
        if which == 2 or which == node:
            free = classes.free[machine, node]
            _node_part(classes, node, ends[node] - free - d, left, take_leave, take_come, change[node])
            value += classes.node_worth[ends[node]] - classes.node_worth[free]
    if which == 2:
        leaving = left[2, d + top]
        _unpack(classes.double, take_leave[2], leaving, 1, change[2])
        _unpack(classes.double, take_come_double, leaving - d, -1, change[2])
        value = (
            classes.worth[ends[0], ends[1]]
            - classes.worth[classes.free[machine, 0], classes.free[machine, 1]]
        )
    if not _fits(classes, machine, change):
        return count
    rows[count] = machine, which
    values[count] = value
    return count + 1

"""The scheduling rules, heuristics and LB2 once more: plain, slow, exact, without any of the package's code.

Sizes are `Fraction`s and times are floats. What the compiled simulator does in one way for speed is done here
in another way for clarity: one heap holds every running VM, and every choice is a `min` over the feasible
slots.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple


class Size(NamedTuple):
    cpu: Fraction
    memory: Fraction

    def holds(self, other: Size) -> bool:
        return other.cpu <= self.cpu and other.memory <= self.memory

    def plus(self, other: Size, times: int = 1) -> Size:
        return Size(self.cpu + times * other.cpu, self.memory + times * other.memory)


@dataclass(frozen=True)
class Vm:
    size: Size
    arrival: float
    lifetime: float
    double: bool

    @property
    def per_node(self) -> Size:
        return Size(self.size.cpu / 2, self.size.memory / 2) if self.double else self.size

    def nodes(self, slot: int) -> list[int]:
        return [slot - slot % 2, slot - slot % 2 + 1] if self.double else [slot]


Free = list[Size]  # of every slot
Choose = Callable[["Situation"], int]


@dataclass(frozen=True)
class Situation:
    """What a heuristic may look at."""

    free: Free
    vm: Vm
    node: Size
    last_slot: int

    @property
    def feasible(self) -> list[int]:
        def fits(slot: int) -> bool:
            return all(self.free[node].holds(self.vm.per_node) for node in self.vm.nodes(slot))

        return [slot for slot in range(len(self.free)) if fits(slot)]

    def remaining(self, slot: int) -> float:
        free = self.free[slot]
        return min(float(free.cpu / self.node.cpu), float(free.memory / self.node.memory))

    def server_remaining(self, slot: int) -> float:
        return self.remaining(slot - slot % 2) + self.remaining(slot - slot % 2 + 1)


@dataclass(frozen=True)
class Decision:
    vm: int
    time: float
    wait: float
    slot: int
    free: Free
    feasible: list[int]


@dataclass(frozen=True)
class Episode:
    decisions: list[Decision]
    stuck: bool

    @property
    def total_wait(self) -> float:
        return math.inf if self.stuck else math.fsum(decision.wait for decision in self.decisions)


def simulate(
    vms: Sequence[Vm],
    servers: int,
    node: Size,
    choose: Choose,
    start: int = 0,
    vm_count: int = 10**9,
    sizes: Free | None = None,
) -> Episode:
    """`sizes` are those of all slots, where they differ; `node` is the largest then."""
    free = list(sizes or [node] * (2 * servers))
    running: list[tuple[float, int, int]] = []  # (end, VM, slot)
    now, last_slot, decisions = vms[start].arrival, -1, []
    stop = min(start + vm_count, len(vms) - 1)

    def release_first() -> float:
        end, index, slot = heapq.heappop(running)
        for k in vms[index].nodes(slot):
            free[k] = free[k].plus(vms[index].per_node)
        return end

    for index in range(start, stop):
        vm = vms[index]
        while running and running[0][0] <= vm.arrival:
            now = release_first()
        while not (feasible := Situation(free, vm, node, last_slot).feasible):
            if not running or running[0][0] == math.inf:
                return Episode(decisions, stuck=True)
            now = release_first()
            while running and running[0][0] == now:
                release_first()
        now = max(now, vm.arrival)
        slot = choose(Situation(list(free), vm, node, last_slot))
        assert slot in feasible
        decisions.append(Decision(index, now, now - vm.arrival, slot, list(free), feasible))
        for k in vm.nodes(slot):
            free[k] = free[k].plus(vm.per_node, -1)
        heapq.heappush(running, (now + vm.lifetime, index, slot))
        last_slot = slot
    return Episode(decisions, stuck=False)


def first_unplaceable(
    vms: Sequence[Vm], servers: int, node: Size, start: int, sizes: Free | None = None
) -> int:
    """VMs First Fit places before one fits nowhere, tested before the departures due at its arrival."""
    free, running = list(sizes or [node] * (2 * servers)), []
    for index in range(start, len(vms) - 1):
        vm = vms[index]
        slot = first_fit(Situation(free, vm, node, -1))
        for k in vm.nodes(slot):
            free[k] = free[k].plus(vm.per_node, -1)
        running.append((vm.arrival + vm.lifetime, vm, slot))
        following = vms[index + 1]
        if not Situation(free, following, node, -1).feasible:
            return index + 1 - start
        for end, old, place in running:
            if end <= following.arrival:
                for k in old.nodes(place):
                    free[k] = free[k].plus(old.per_node)
        running = [entry for entry in running if entry[0] > following.arrival]
    return len(vms) - 1 - start


def first_fit(now: Situation) -> int:
    return min(now.feasible)


def best_fit(now: Situation, sign: int = 1) -> int:
    measure = now.server_remaining if now.vm.double else now.remaining
    return min(now.feasible, key=lambda k: (sign * measure(k), k))


def worst_fit(now: Situation) -> int:
    return best_fit(now, sign=-1)


def balance_fit(now: Situation) -> int:
    def imbalance(slot: int) -> float:
        return abs(now.remaining(slot) - now.remaining(slot ^ 1))

    if now.vm.double or all(imbalance(k) == 0 for k in now.feasible):
        return first_fit(now)
    server = min({k // 2 for k in now.feasible}, key=lambda s: (-imbalance(2 * s), s))
    return min({2 * server, 2 * server + 1} & set(now.feasible), key=lambda k: (-now.remaining(k), k))


def move_to_front(now: Situation) -> int:
    return now.last_slot if now.last_slot in now.feasible else first_fit(now)


def server_best_fit(now: Situation) -> int:
    return min(now.feasible, key=lambda k: (now.server_remaining(k), -now.remaining(k), k))


def best_fit_vmagent(now: Situation) -> int:
    def left(slot: int) -> float:
        free = now.free[now.vm.nodes(slot)[0]].plus(now.vm.per_node, -1)
        return min(float(free.cpu / now.node.cpu), float(free.memory / now.node.memory))

    return min(now.feasible, key=lambda k: (-left(k), k))


def capacity_for(flavour: Vm, nodes: Sequence[Size]) -> int:
    per_node = [min(n.cpu // flavour.per_node.cpu, n.memory // flavour.per_node.memory) for n in nodes]
    return min(per_node) if flavour.double else sum(per_node)


def fragmentation_gradient(
    now: Situation, flavours: Sequence[Vm], weights: Sequence[float], fullness: float
) -> int:
    def cost(slot: int) -> float:
        first = slot - slot % 2
        before = now.free[first : first + 2]
        after = [
            free.plus(now.vm.per_node, -(first + k in now.vm.nodes(slot))) for k, free in enumerate(before)
        ]
        lost = 0.0
        for flavour, weight in zip(flavours, weights, strict=True):
            lost += weight * (capacity_for(flavour, before) - capacity_for(flavour, after))
        return lost + fullness * now.server_remaining(slot)

    return min(now.feasible, key=lambda k: (cost(k), now.server_remaining(k), -now.remaining(k), k))


HEURISTICS: dict[str, Choose] = {
    "first-fit": first_fit,
    "best-fit": best_fit,
    "worst-fit": worst_fit,
    "balance-fit": balance_fit,
    "move-to-front": move_to_front,
    "sbf": server_best_fit,
    "best-fit-vmagent": best_fit_vmagent,
}


def packable(doubles: Sequence[Vm], sizes: Free) -> bool:
    """Whether the double VMs fit into empty servers together, by trying every assignment."""
    for assignment in itertools.product(range(len(sizes) // 2), repeat=len(doubles)):
        left = list(sizes)
        for vm, server in zip(doubles, assignment, strict=True):
            for k in vm.nodes(2 * server):
                left[k] = left[k].plus(vm.per_node, -1)
        if all(room.cpu >= 0 and room.memory >= 0 for room in left):
            return True
    return False


def lower_bound(
    vms: Sequence[Vm],
    servers: int,
    node: Size,
    start: int,
    vm_count: int,
    packing: bool = True,
    sizes: Free | None = None,
) -> float:
    """LB2, or LB1 without `packing`: the waits in one pool of all nodes."""
    sizes = sizes or [node] * (2 * servers)
    pool = Size(sum(size.cpu for size in sizes), sum(size.memory for size in sizes))
    running: list[tuple[float, Vm]] = []
    now, waits = vms[start].arrival, []

    def fits(vm: Vm) -> bool:
        left = pool
        for _, other in running:
            left = left.plus(other.size, -1)
        doubles = [other for _, other in running if other.double]
        return left.holds(vm.size) and (not packing or not vm.double or packable([*doubles, vm], sizes))

    for vm in vms[start : min(start + vm_count, len(vms) - 1)]:
        now = max(now, vm.arrival)
        running = [entry for entry in running if entry[0] > now]
        while not fits(vm):
            now = min((end for end, _ in running), default=math.inf)
            if now == math.inf:
                return math.inf
            running = [entry for entry in running if entry[0] > now]
        waits.append(now - vm.arrival)
        running.append((now + vm.lifetime, vm))
    return math.fsum(waits)

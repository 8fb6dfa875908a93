"""The rules of queue disciplines once more, as docs/queue_disciplines.md words them: plain and slow.

What is free at some moment is summed up from scratch over all that runs and all that is reserved. A moment is
a pair: (now, 0) is the present, and (time, 1) is any later one; a VM that has outlived its estimate is
expected to end at (now, 1).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from reference_simulator import Decision, Episode, Free, Situation, Size, Vm

from spane_rllib.problems.vm_scheduling.queue_disciplines import Queue

Moment = tuple[float, int]


@dataclass(frozen=True)
class Allowed(Situation):
    """A situation in which some slots are not allowed though there is room."""

    allowed: list[int] = field(default_factory=list)

    @property
    def feasible(self) -> list[int]:
        return self.allowed


@dataclass(frozen=True)
class Booking:
    """A VM on a slot from one moment until before another."""

    vm: Vm
    slot: int
    begin: Moment
    end: Moment


@dataclass(frozen=True)
class Fairness:
    overtaken: int
    passes: int
    most_passes: int


class Plan:
    def __init__(self, sizes: Free, now: float, bookings: list[Booking]) -> None:
        self.sizes, self.now, self.bookings = sizes, now, bookings

    def free(self, slot: int, moment: Moment) -> Size:
        left = self.sizes[slot]
        for booking in self.bookings:
            if booking.begin <= moment < booking.end and slot in booking.vm.nodes(booking.slot):
                left = left.plus(booking.vm.per_node, -1)
        return left

    def changes(self, server: int) -> list[Moment]:
        own = [booking for booking in self.bookings if booking.slot // 2 == server]
        return sorted({moment for booking in own for moment in (booking.begin, booking.end)})

    def fits(self, vm: Vm, slot: int, begin: Moment, end: Moment) -> bool:
        moments = [begin, *(m for m in self.changes(slot // 2) if begin < m < end)]
        return all(self.free(k, m).holds(vm.per_node) for m in moments for k in vm.nodes(slot))

    def reserve(self, vm: Vm, estimate: float) -> None:
        found = []
        for slot in range(0, len(self.sizes), 2 if vm.double else 1):
            for begin in self.changes(slot // 2):
                end = (begin[0] + estimate, 1)
                if (self.now, 0) < begin < (math.inf, 0) and self.fits(vm, slot, begin, end):
                    found.append((begin, slot, end))
                    break
        if found:
            begin, slot, end = min(found)
            self.bookings.append(Booking(vm, slot, begin, end))


def simulate(
    vms: Sequence[Vm],
    servers: int,
    node: Size,
    choose: Callable[[Situation], int],
    queue: Queue,
    start: int = 0,
    vm_count: int = 10**9,
    estimates: Sequence[float] | None = None,
    sizes: Free | None = None,
) -> tuple[Episode, Fairness]:
    sizes = sizes or [node] * (2 * servers)
    stop = min(start + vm_count, len(vms) - 1)
    estimate = [vm.lifetime for vm in vms] if estimates is None else estimates
    running: list[tuple[float, float, int, int]] = []  # (end, estimated end, VM, slot)
    waiting: list[int] = []
    decisions: list[Decision] = []
    last_slot, now = -1, vms[start].arrival

    def plan_behind(before: list[int]) -> Plan:
        bookings = [
            Booking(vms[i], slot, (-math.inf, 0), (max(expected, now), 1)) for _, expected, i, slot in running
        ]
        plan = Plan(sizes, now, bookings)
        for rank, i in enumerate(before):
            if rank < queue.reservations:
                plan.reserve(vms[i], estimate[i])
        return plan

    def tries(index: int, before: list[int]) -> bool:
        """Place a VM if it may be tried and fits."""
        nonlocal last_slot
        if before and (len(before) >= queue.depth or now - vms[before[0]].arrival >= queue.patience):
            return False
        vm, plan = vms[index], plan_behind(before)
        end = (now + estimate[index], 1)
        allowed = [slot for slot in range(len(sizes)) if plan.fits(vm, slot, (now, 0), end)]
        free: Free = [Plan(sizes, now, plan_behind([]).bookings).free(k, (now, 0)) for k in range(len(sizes))]
        if queue.holds and before:
            kept = held_server(vms[before[0]], free, sizes)
            allowed = [slot for slot in allowed if slot // 2 != kept]
        if not allowed:
            return False
        slot = choose(Allowed(free, vm, node, last_slot, allowed))
        decisions.append(Decision(index, now, now - vm.arrival, slot, free, allowed))
        running.append((now + vm.lifetime, end[0], index, slot))
        last_slot = slot
        return True

    arriving = start
    while waiting or arriving < stop:
        arrival = vms[arriving].arrival if arriving < stop else math.inf
        departure = min((end for end, *_ in running), default=math.inf)
        if departure == arrival == math.inf:
            break
        if departure <= arrival:
            now = departure
            running = [entry for entry in running if entry[0] > now]
            blocked: list[int] = []
            for index in list(waiting):
                if tries(index, blocked):
                    waiting.remove(index)
                else:
                    blocked.append(index)
        else:
            now = arrival
            if not tries(arriving, waiting):
                waiting.append(arriving)
                if queue.order:
                    waiting.sort(key=lambda i: (queue.order * share(vms[i], sizes[0]), i))
            arriving += 1
    return Episode(decisions, stuck=bool(waiting)), fairness([decision.vm for decision in decisions])


def held_server(vm: Vm, free: Free, sizes: Free) -> int | None:
    """Where the VM lacks least."""
    shares = {}
    for server in range(len(sizes) // 2):
        nodes = [slot for slot in (2 * server, 2 * server + 1) if sizes[slot].holds(vm.per_node)]
        if len(nodes) < (2 if vm.double else 1):
            continue
        of_node = [
            min(Fraction(free[k].cpu) / vm.per_node.cpu, Fraction(free[k].memory) / vm.per_node.memory)
            for k in nodes
        ]
        shares[server] = min(of_node) if vm.double else max(of_node)
    return max(shares, key=lambda server: (shares[server], -server), default=None)


def share(vm: Vm, node: Size) -> Fraction:
    """Of a server, of what it takes more of."""
    cpu = Fraction(vm.per_node.cpu) / Fraction(node.cpu)
    memory = Fraction(vm.per_node.memory) / Fraction(node.memory)
    return max(cpu, memory) * (2 if vm.double else 1)


def fairness(order: list[int]) -> Fairness:
    passes = [sum(other > vm for other in order[:rank]) for rank, vm in enumerate(order)]
    return Fairness(sum(p > 0 for p in passes), sum(passes), max(passes, default=0))


def least_total_wait(vms: Sequence[Vm], servers: int, node: Size, sizes: Free | None = None) -> float:
    """Of all schedules without migration: every order, every slot, each VM as early as it fits."""
    sizes = sizes or [node] * (2 * servers)
    least = math.inf
    for order in itertools.permutations(range(len(vms))):
        for slots in itertools.product(range(len(sizes)), repeat=len(vms)):
            total, bookings = 0.0, []
            for index in order:
                vm, slot = vms[index], slots[index]
                plan = Plan(sizes, -math.inf, bookings)
                starts = sorted({vm.arrival, *(b.end[0] for b in bookings if b.end[0] > vm.arrival)})
                fitting = (s for s in starts if plan.fits(vm, slot, (s, 1), (s + vm.lifetime, 1)))
                begin = next(fitting, math.inf)  # too small a server
                bookings.append(Booking(vm, slot, (begin, 1), (begin + vm.lifetime, 1)))
                total += begin - vm.arrival
                if total >= least:
                    break
            least = min(least, total)
    return least

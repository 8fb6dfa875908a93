"""An end state, given as options, as migrations that are legal one after the other.

An option says that a VM of a class leaves and another comes; which VM goes where, and when, is decided here.
A VM goes to any place that waits for its class as soon as there is room. Where every VM that is left waits
for another one to leave first, one of them makes way to any free place, which costs a migration more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.vm_rescheduling.planners.clock import Clock
from spane_rllib.problems.vm_rescheduling.planners.exchange import Options
from spane_rllib.problems.vm_rescheduling.simulator.objectives import Objective
from spane_rllib.problems.vm_rescheduling.simulator.rules import (
    CORES,
    DOUBLE,
    State,
    apply_move,
    legal_targets,
)
from spane_rllib.problems.vm_rescheduling.simulator.simulation import copied

Place = tuple[int, int]
"""Machine and node, node 0 for double VMs."""
Class = tuple[bool, int]
Move = tuple[int, int, int]


class Classified(Protocol):
    """Whatever knows the classes that options speak of."""

    @property
    def class_of(self) -> npt.NDArray[np.int64]:
        """(V,) class of each VM, counted anew for those on one node and on both."""
        ...


@dataclass(frozen=True)
class Ordered:
    """Moves in order, and the state after them."""

    moves: list[Move]
    state: State


def order_moves(
    exchange: Classified,
    options: Options,
    state: State,
    objective: Objective,
    most: int,
    clock: Clock,
    attempts: int = 8,
) -> Ordered:
    """The best of several orders, in which as few VMs as possible make way.

    Args:
        exchange: who found the end state.
        options: the end state.
        state: where VMs are now; it is not changed.
        objective: by which orders are compared.
        most: moves there may be; an order that needs more is cut.
        clock: ends the attempts.
        attempts: the first is decided by sizes alone, the others at random.
    """
    best: Ordered | None = None
    for attempt in range(attempts):
        found = _Order(exchange, options, state, objective, np.random.default_rng(attempt)).run(most, attempt)
        if best is None or found.state.totals[0] < best.state.totals[0]:
            best = found
        if (len(best.moves) <= options.migrations and not _unfinished(best, options)) or clock.over(0.9):
            break
    assert best is not None
    return best


def _unfinished(found: Ordered, options: Options) -> bool:
    return len(found.moves) < options.migrations


class _Order:
    """One way to put the moves in order."""

    def __init__(
        self,
        exchange: Classified,
        options: Options,
        state: State,
        objective: Objective,
        random: np.random.Generator,
    ) -> None:
        self._state, self._objective, self._random = copied(state), objective, random
        self._class_of = exchange.class_of
        self._leave: dict[Class, Counter[Place]] = {}
        self._come: dict[Class, Counter[Place]] = {}
        for (machine, _), change in zip(options.rows.tolist(), options.changes, strict=True):
            for block, kind in np.argwhere(change).tolist():
                count = int(change[block, kind])
                where = self._leave if count > 0 else self._come
                place = (machine, 0 if block == 2 else block)
                where.setdefault((block == 2, kind), Counter())[place] += abs(count)
        self._moves: list[Move] = []
        self._on: dict[tuple[Class, Place], list[int]] = {}
        wanted = {(kind, place) for kind, places in self._leave.items() for place in places}
        double = state.vms[:, DOUBLE] != 0
        for vm in np.flatnonzero(np.isin(state.machine, [place[0] for _, place in wanted])).tolist():
            key = ((bool(double[vm]), int(self._class_of[vm])), (int(state.machine[vm]), int(state.node[vm])))
            if key in wanted:
                self._on.setdefault(key, []).append(vm)

    def run(self, most: int, attempt: int) -> Ordered:
        """Make moves until none is left or possible, `most` at most."""
        while len(self._moves) < most:
            if not (self._step(attempt > 0) or self._make_way()):
                break
        return Ordered(self._moves, self._state)

    def _step(self, shuffled: bool) -> bool:
        """Move one VM to a place that waits for it; False where there is no room for any."""
        kinds = sorted(self._leave, key=lambda kind: -self._size(kind))
        if shuffled:
            kinds = [kinds[i] for i in self._random.permutation(len(kinds))]
        waiting = {place for places in self._leave.values() for place in places}
        doubles = {place[0] for kind, places in self._leave.items() if kind[0] for place in places}
        for eager in (True, False):
            for kind in kinds:
                targets = list(self._come.get(kind, ()))
                if shuffled and targets:
                    targets = [targets[i] for i in self._random.permutation(len(targets))]
                for target in targets:
                    # Where something still leaves, room may be needed for what cannot wait.
                    if eager and (target in waiting or target[0] in doubles):
                        continue
                    if self._room(kind, target) and self._bring(kind, target):
                        return True
        return False

    def _size(self, kind: Class) -> int:
        place = next(iter(self._leave[kind]))
        return int(self._state.vms[self._on[kind, place][0], CORES]) * (1 + kind[0])

    def _room(self, kind: Class, target: Place) -> bool:
        place = next(iter(self._leave[kind]))
        cores = self._state.vms[self._on[kind, place][0], CORES]
        free = self._state.free[target[0]]
        return bool(free.min() >= cores if kind[0] else free[target[1]] >= cores)

    def _bring(self, kind: Class, target: Place) -> bool:
        sources = list(self._leave[kind])
        # First from where others wait to come.
        awaited = {place for places in self._come.values() for place in places}
        sources.sort(key=lambda place: place not in awaited)
        for source in sources:
            for vm in self._on[kind, source]:
                if self._apply(vm, target):
                    self._note(kind, source, vm)
                    _decrease(self._come, kind, target)
                    return True
        return False

    def _apply(self, vm: int, target: Place) -> bool:
        gain = apply_move(self._state, self._objective, vm, target[0], target[1])
        if gain == np.iinfo(np.int64).min:
            return False
        self._moves.append((vm, *target))
        return True

    def _note(self, kind: Class, source: Place, vm: int) -> None:
        self._on[kind, source].remove(vm)
        _decrease(self._leave, kind, source)

    def _make_way(self) -> bool:
        """Move a VM that waits to any place, best one that nobody waits for; False where none can."""
        targets = np.empty(self._state.free.shape, np.bool_)
        awaited = {place for places in self._come.values() for place in places}
        candidates: list[tuple[int, Class, Place, int]] = []
        for kind, places in self._leave.items():
            if not self._come.get(kind):
                continue
            for place in places:
                vm = self._on[kind, place][0]
                # One that another waits for is the one whose leaving helps; of these the largest.
                candidates.append((-int(place in awaited) * 10**6 - self._size(kind), kind, place, vm))
        for _, kind, place, vm in sorted(candidates):
            legal_targets(self._state, vm, targets)
            for machine, node in np.argwhere(targets).tolist():
                target = (machine, node)
                if target in awaited or (kind[0] and (machine, 1) in awaited):
                    continue
                if not self._apply(vm, target):
                    continue
                self._note(kind, place, vm)
                self._leave.setdefault(kind, Counter())[target] += 1
                self._on.setdefault((kind, target), []).append(vm)
                return True
        return False


def _decrease(places: dict[Class, Counter[Place]], kind: Class, place: Place) -> None:
    places[kind][place] -= 1
    if not places[kind][place]:
        del places[kind][place]
    if not places[kind]:
        del places[kind]

"""A proven lower bound on the total wait of any schedule without migration, whatever the order of placement.

Capacity gets a price. Let lambda_d(t) >= 0 be the price, per second, of all of resource d at time t, and r_jd
the share of it that VM j takes. In any schedule the VMs that run take at most all of d at every moment, so
that what they pay is at most the integral of the prices. Hence, with w_j the wait of VM j,

    sum_j w_j >= sum_j (w_j + what j pays from a_j + w_j to a_j + w_j + lifetime_j) - sum_d integral lambda_d
              >= sum_j min_{w >= 0} (w + what j pays if it waits w) - sum_d integral lambda_d

for any prices: weak Lagrangian duality. Nothing is assumed of the order, and idling on purpose is allowed.
Prices are steps; subgradient ascent finds good ones. The resources are cores and memory of all servers
together, and the nodes as places for VMs that need more than half of the cores of the largest, of which a
node holds only one; the same by memory, for VMs that do not count by cores.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.vm_scheduling.queue_disciplines import parse_queue
from spane_rllib.problems.vm_scheduling.simulator.cluster import Cluster
from spane_rllib.problems.vm_scheduling.simulator.episodes import run_heuristic
from spane_rllib.problems.vm_scheduling.simulator.heuristics import Heuristic
from spane_rllib.problems.vm_scheduling.simulator.rules import ARRIVAL, DOUBLE, LIFETIME, MEMORY
from spane_rllib.problems.vm_scheduling.simulator.workload import Workload

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

RESOURCES = 4
_CELLS = 48  # steps of a price
_ROUNDS = 40  # of subgradient ascent
_LONG_S = 86_400.0  # horizon and target per VM where no schedule is known that places all
_ROUNDING = 1e-9  # relative, of the sums


def any_order_bounds(workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows) -> Floats:
    """The bound on the total wait (seconds) of each episode, shape (E,); see `lower_bounds`."""
    work = workload.arrays
    need = work.need[:, : MEMORY + 1].astype(np.float64)
    capacity = work.capacity[0]
    # How many of the largest node all are worth, and how many there are.
    nodes = np.array([*(workload.pooled_units(cluster) / capacity), cluster.nodes, cluster.nodes])
    shares = np.empty((len(need), RESOURCES))
    shares[:, :2] = need / capacity
    shares[:, 2:] = 2 * need > capacity
    shares[shares[:, 2] > 0, 3] = 0.0
    shares *= (1.0 + work.need[:, DOUBLE])[:, None] / nodes
    # What a good schedule comes to tells the ascent where to go; the bound holds whatever it is.
    known = run_heuristic(workload.under(parse_queue("skip")), cluster, Heuristic("sbf"), starts, vm_counts)
    stuck = ~np.isfinite(known.total_wait)
    target = np.where(stuck, _LONG_S * vm_counts, known.total_wait)
    horizon = np.where(stuck, _LONG_S, known.max_wait)
    counts = np.minimum(vm_counts, len(workload) - 1 - starts)
    return _bounds(work.times, shares, starts, counts, target, horizon)


@compiled
def _bounds(
    times: Floats, shares: Floats, starts: Rows, counts: Rows, target: Floats, horizon: Floats
) -> Floats:
    times, shares = borrowed(times), borrowed(shares)
    found = np.zeros(len(starts))
    for episode in range(len(starts)):
        if target[episode] > 0.0:  # else a schedule without any wait is known
            rows = slice(starts[episode], starts[episode] + counts[episode])
            grid = _grid(times[rows], shares[rows], horizon[episode])
            if len(grid) > 1:
                found[episode] = _ascend(times[rows], shares[rows], grid, target[episode])
    return found


@inlined
def _grid(times: Floats, shares: Floats, horizon: float) -> Floats:
    """Where prices change, (G + 1,) increasing, over the time in which capacity could be short.

    Empty where it is never short even if nobody waits: then no price helps.
    """
    count = len(times)
    moments = np.empty(2 * count)
    for vm in range(count):
        moments[vm] = times[vm, ARRIVAL]
        moments[count + vm] = times[vm, ARRIVAL] + times[vm, LIFETIME]
    order = np.argsort(moments)
    taken = np.zeros(RESOURCES)
    first = np.inf
    position = 0
    while position < 2 * count and first == np.inf:
        moment = moments[order[position]]
        while position < 2 * count and moments[order[position]] == moment:
            event = order[position]
            for d in range(RESOURCES):
                taken[d] += shares[event, d] if event < count else -shares[event - count, d]
            position += 1
        if taken.max() > 1.0 + _ROUNDING:
            first = moment
    last = times[count - 1, ARRIVAL] + horizon + 1.0
    if first >= last:
        return np.empty(0)
    inside = np.sort(moments[(moments >= first) & (moments <= last)])
    grid = np.empty(_CELLS + 1)
    grid[0] = first
    size = 1
    for cell in range(1, _CELLS):
        moment = inside[cell * (len(inside) - 1) // _CELLS]
        if moment > grid[size - 1]:
            grid[size] = moment
            size += 1
    if last > grid[size - 1]:
        grid[size] = last
        size += 1
    return grid[:size]


@inlined
def _pay(price: Floats, paid: Floats, grid: Floats, share: Floats, cell: int, moment: float) -> float:
    """What a VM with these shares pays per wait until `moment`, which lies in `cell`, -1 before the grid."""
    cells = len(grid) - 1
    total = 0.0
    if cell >= 0:
        for d in range(RESOURCES):
            if share[d] > 0.0:
                at = paid[d, cell]
                if cell < cells:
                    at += price[d, cell] * (moment - grid[cell])
                total += share[d] * at
    return total


@inlined
def _rate(price: Floats, share: Floats, cell: int) -> float:
    total = 0.0
    if 0 <= cell < price.shape[1]:
        for d in range(RESOURCES):
            total += share[d] * price[d, cell]
    return total


@inlined
def _best_wait(
    price: Floats,
    paid: Floats,
    grid: Floats,
    share: Floats,
    begin: float,
    end: float,
    begin_cell: int,
    end_cell: int,
) -> tuple[float, float]:
    """The wait at which a VM's wait and payment are least, and this least sum."""
    cells = len(grid) - 1
    cost = _pay(price, paid, grid, share, end_cell, end) - _pay(price, paid, grid, share, begin_cell, begin)
    wait, best, least = 0.0, 0.0, cost
    # The sum is linear until begin or end comes to another price, and it is at least the wait.
    while wait < least:
        to_begin = grid[begin_cell + 1] - begin if begin_cell < cells else np.inf
        to_end = grid[end_cell + 1] - end if end_cell < cells else np.inf
        step = min(to_begin, to_end)
        if step == np.inf:
            break
        cost += step * (1.0 + _rate(price, share, end_cell) - _rate(price, share, begin_cell))
        wait += step
        begin, end = begin + step, end + step
        if to_begin <= step:
            begin_cell += 1
            begin = grid[begin_cell]
        if to_end <= step:
            end_cell += 1
            end = grid[end_cell]
        if cost < least:
            best, least = wait, cost
    return best, least


@inlined
def _ascend(times: Floats, shares: Floats, grid: Floats, target: float) -> float:
    """The best bound of `_ROUNDS` steps of subgradient ascent (Polyak's) from prices of zero."""
    count, cells = len(times), len(grid) - 1
    begin_cell, end_cell = np.empty(count, np.int64), np.empty(count, np.int64)
    for vm in range(count):
        begin = times[vm, ARRIVAL]
        begin_cell[vm] = np.searchsorted(grid, begin, side="right") - 1
        end_cell[vm] = np.searchsorted(grid, begin + times[vm, LIFETIME], side="right") - 1
    price, paid = np.zeros((RESOURCES, cells)), np.zeros((RESOURCES, cells + 1))
    excess = np.empty((RESOURCES, cells))
    highest, stride, failures = 0.0, 1.0, 0
    for _ in range(_ROUNDS):
        bound, size = 0.0, 0.0
        for d in range(RESOURCES):
            for cell in range(cells):
                paid[d, cell + 1] = paid[d, cell] + price[d, cell] * (grid[cell + 1] - grid[cell])
                excess[d, cell] = 0.0
            bound -= paid[d, cells]
        size = -bound
        for vm in range(count):
            if end_cell[vm] < 0:
                continue  # it has ended before capacity gets short, if it does not wait
            begin = times[vm, ARRIVAL]
            end = begin + times[vm, LIFETIME]
            wait, least = _best_wait(price, paid, grid, shares[vm], begin, end, begin_cell[vm], end_cell[vm])
            bound += least
            size += least
            begin, end = begin + wait, end + wait
            cell = (
                max(0, np.searchsorted(grid, begin, side="right") - 1)
                if wait > 0.0
                else max(0, begin_cell[vm])
            )
            while cell < cells and grid[cell] < end:
                overlap = min(end, grid[cell + 1]) - max(begin, grid[cell])
                for d in range(RESOURCES):
                    excess[d, cell] += shares[vm, d] * overlap
                cell += 1
        bound -= _ROUNDING * size
        if bound > highest:
            highest, failures = bound, 0
        else:
            failures += 1
            if failures == 4:
                stride, failures = 0.6 * stride, 0
        norm = 0.0
        for d in range(RESOURCES):
            for cell in range(cells):
                width = grid[cell + 1] - grid[cell]
                over = excess[d, cell] / width - 1.0
                if over < 0.0 and price[d, cell] == 0.0:
                    over = 0.0
                excess[d, cell] = over
                norm += over * over * width
        if norm == 0.0 or target <= bound:
            break
        step = stride * (target - bound) / norm
        for d in range(RESOURCES):
            for cell in range(cells):
                price[d, cell] = max(0.0, price[d, cell] + step * excess[d, cell])
    return highest

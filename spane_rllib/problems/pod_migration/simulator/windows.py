"""What a window of demand does to pods where they are: the compiled rules.

Requests go to the pods in turn. Their slots are the moments at which the load of every node is looked at:

- serial: a pod works on its requests one after the other, so slot k has the k-th request of every pod that
has
  so many, beside what all pods ask for at any time;
- parallel: requests add up until the window ends, and there is a slot for every distinct time of arrival.

Every node is looked at in every slot of the window, and at least once. So the number of slots is the same
wherever the pods are, and shares of it can be compared.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import compiled
from spane_rllib.problems.pod_migration.simulator.allocation import TOLERANCE, Floats, allocate

Whole = npt.NDArray[np.int64]

# Columns of what is counted.
COUNTS = (
    "slots",
    "violations",
    "under",
    "cpu_over",
    "cpu_under",
    "mem_over",
    "mem_under",
    "unsatisfied",
    "unsatisfied_resources",
    "imbalance",
)
SLOTS, VIOLATIONS, UNDER, CPU_OVER, CPU_UNDER, MEM_OVER, MEM_UNDER, UNSATISFIED, SHORT, IMBALANCE = range(10)


@compiled
def group_pods(placement: Whole, first: Whole, pods: Whole) -> None:
    """Write the pods of node n to `pods[first[n] : first[n + 1]]`, in order; `first` is (N + 1,)."""
    first[:] = 0
    for node in placement:
        first[node + 1] += 1
    for node in range(1, len(first)):
        first[node] += first[node - 1]
    for pod in range(len(placement)):
        node = placement[pod]
        pods[first[node]] = pod
        first[node] += 1
    for node in range(len(first) - 1, 0, -1):
        first[node] = first[node - 1]
    first[0] = 0


@compiled
def count_slot(
    counts: Floats,
    load: Floats,
    asked: Floats,
    first: Whole,
    pods: Whole,
    capacity: Floats,
    parallel: bool,
    shortest_first: bool,
    overload: float,
    underload: float,
) -> None:
    """Add one slot to `counts`: load (N, 2) of the nodes, asked (P, 2) by the pods."""
    for node in range(len(load)):
        cpu, memory = load[node, 0] / capacity[node, 0], load[node, 1] / capacity[node, 1]
        high, low = overload + TOLERANCE, underload - TOLERANCE
        counts[SLOTS] += 1
        counts[VIOLATIONS] += cpu > high or memory > high
        counts[UNDER] += cpu < low or memory < low
        counts[CPU_OVER] += cpu > high
        counts[CPU_UNDER] += cpu < low
        counts[MEM_OVER] += memory > high
        counts[MEM_UNDER] += memory < low
        counts[IMBALANCE] += abs(min(cpu, 1.0) - min(memory, 1.0))
        if cpu > 1 + TOLERANCE or memory > 1 + TOLERANCE:
            here = pods[first[node] : first[node + 1]]
            wanted, granted = asked[here], np.empty((len(here), 2))
            allocate(wanted, capacity[node], shortest_first, granted)
            for at in range(len(here)):
                short = 0
                for resource in range(2):
                    missing = wanted[at, resource] - granted[at, resource]
                    short += missing > TOLERANCE * capacity[node, resource]
                counts[UNSATISFIED] += short > 0
                counts[SHORT] += short


@compiled
def play_window(
    amount: Floats,
    moment: Whole,
    begin: int,
    end: int,
    pointer: int,
    placement: Whole,
    base: Floats,
    capacity: Floats,
    parallel: bool,
    shortest_first: bool,
    overload: float,
    underload: float,
    counts: Floats,
    history: Floats,
    demand: Floats,
    total: Floats,
    granted: Floats,
    look: bool,
) -> int:
    """Hand the requests `begin` to `end` - 1 to the P pods where they are, and count.

    Args:
        amount: (n, 2) CPU and memory of requests.
        moment: (n,) equal for requests that arrive at the same time.
        begin, end: the window's requests.
        pointer: pod that has the first request.
        placement: (P,) node of each pod.
        base: (P, 2) what each pod asks for at any time.
        capacity: (N, 2) of the nodes.
        parallel: whether requests add up.
        shortest_first: see `allocate`.
        overload, underload: shares of a node's capacity.
        counts: (len(COUNTS),) is added to.
        history: (N, K, 2) load of each node as a share of its capacity, at K points of the window.
        demand: (P, 2) mean over the slots of what each pod was asked for beside its own request.
        total: (P, 2) sum of the requests that each pod was handed.
        granted: (P, 2) what each pod was given in the last slot.
        look: whether these four are filled.

    Returns:
        the pod that has the first request of the next window.
    """
    nodes, count = len(capacity), len(placement)
    own = np.zeros((nodes, 2))
    for pod in range(count):
        for resource in range(2):
            own[placement[pod], resource] += base[pod, resource]
    first, pods = np.empty(nodes + 1, np.int64), np.empty(count, np.int64)
    group_pods(placement, first, pods)
    load, asked = own.copy(), base.copy()
    slots = 0
    if look:
        if parallel:
            for request in range(begin, end):
                slots += request == begin or moment[request] != moment[request - 1]
        else:
            slots = (end - begin + count - 1) // count
        slots = max(slots, 1)
        history[:], demand[:], total[:] = 0.0, 0.0, 0.0
    slot, pod = 0, pointer
    last_place = -1
    for request in range(begin, max(end, begin + 1)):
        if request < end:
            for resource in range(2):
                load[placement[pod], resource] += amount[request, resource]
                asked[pod, resource] += amount[request, resource]
                if look:
                    total[pod, resource] += amount[request, resource]
            pod = pod + 1 if pod + 1 < count else 0
            if parallel:
                over = request + 1 == end or moment[request + 1] != moment[request]
            else:
                over = request + 1 == end or (request + 1 - begin) % count == 0
        else:
            over = True  # a window without requests has a slot all the same
        if not over:
            continue
        count_slot(counts, load, asked, first, pods, capacity, parallel, shortest_first, overload, underload)
        if look:
            place = slot * history.shape[1] // slots
            for at in range(last_place + 1, place + 1):
                for node in range(nodes):
                    history[node, at] = load[node] / capacity[node]
            for node in range(nodes):  # of several slots at one point the highest
                history[node, place] = np.maximum(history[node, place], load[node] / capacity[node])
            last_place = place
            demand += (asked - base) / slots
        slot += 1
        if look and request + 1 >= end:
            for at in range(last_place + 1, history.shape[1]):
                history[:, at] = history[:, last_place]
            for node in range(nodes):
                here = pods[first[node] : first[node + 1]]
                given = np.empty((len(here), 2))
                allocate(asked[here], capacity[node], shortest_first, given)
                for at in range(len(here)):
                    granted[here[at]] = given[at]
        if not parallel and request + 1 < end:
            load[:] = own
            asked[:] = base
    return pod


@compiled
def count_windows(
    amount: Floats,
    moment: Whole,
    first: Whole,
    windows: Whole,
    pointers: Whole,
    placements: Whole,
    base: Floats,
    capacity: Floats,
    parallel: bool,
    shortest_first: bool,
    overload: float,
    underload: float,
    counts: Floats,
) -> None:
    """Play one window in each of L clusters of the same nodes and pods, side by side.

    Args:
        first: (W + 1,) first request of each window.
        windows: (L,) of each cluster.
        pointers: (L,) pod that has the first request.
        placements: (L, P) node of each pod.
        counts: (L, len(COUNTS)) is set.
        others: see `play_window`.
    """
    counts[:] = 0.0
    nothing = np.empty((0, 0, 0))
    unseen = np.empty((0, 0))
    for lane in range(len(windows)):
        play_window(
            amount,
            moment,
            first[windows[lane]],
            first[windows[lane] + 1],
            pointers[lane],
            placements[lane],
            base,
            capacity,
            parallel,
            shortest_first,
            overload,
            underload,
            counts[lane],
            nothing,
            unseen,
            unseen,
            unseen,
            False,
        )

"""Whole episodes under a heuristic, one compiled call for any number of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import borrowed, copy_into
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO
from spane_rllib.problems.vm_scheduling.simulator.balance_search import most_unbalanced
from spane_rllib.problems.vm_scheduling.simulator.cluster import Cluster
from spane_rllib.problems.vm_scheduling.simulator.fragmentation import NO_FRAGMENTATION, FragmentationArrays
from spane_rllib.problems.vm_scheduling.simulator.heuristic_codes import (
    BALANCE_FIT,
    BEST_FIT,
    BEST_FIT_VMAGENT,
    FGD,
    FIRST_FIT,
    MOVE_TO_FRONT,
    RANDOM,
    SBF,
    WORST_FIT,
)
from spane_rllib.problems.vm_scheduling.simulator.heuristics import Heuristic, choose
from spane_rllib.problems.vm_scheduling.simulator.objectives import begin, place
from spane_rllib.problems.vm_scheduling.simulator.rankings import ranking_of
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    ARRIVAL,
    CLOCKS,
    COUNTERS,
    DOUBLE,
    FINISHED,
    FIRST_SLOT,
    HEAD,
    MAX_WAIT,
    MOST_PASSES,
    NOW,
    OVERTAKEN,
    PASSES,
    PLACED,
    RETURN,
    RUNNING,
    SIZE_WAIT,
    START,
    STATUS,
    STOP,
    TOTAL_WAIT,
    LaneState,
    allocate,
    lowest_slot,
    occupy,
    release_until,
    reset_lane,
)
from spane_rllib.problems.vm_scheduling.simulator.server_index import ServerIndex, StaleServers, tree_of
from spane_rllib.problems.vm_scheduling.simulator.workload import Workload, WorkloadArrays

# An episode goes on for this many VMs after First Fit first meets a full cluster (SPANE reference).
EXTRA_VMS = 40


SCANNED_SERVERS = 128
"""Clusters of more servers get a `ServerIndex`, of twice as many where a scan ends at the first that fits."""


class Ends(NamedTuple):
    """How E episodes ended: the last rows of their lanes."""

    counters: npt.NDArray[np.int64]  # (E, COUNTERS) as in LaneState
    clocks: npt.NDArray[np.float64]  # (E, CLOCKS) as in LaneState


@dataclass(frozen=True)
class EpisodeResults:
    """What happened in E episodes, as columns of shape (E,).

    Attributes:
        start: row of the trace at which the episode began.
        placed: VMs placed.
        total_wait: sum of waits, seconds; `inf` when a VM could never be placed (behind VMs that never end).
        max_wait: longest wait, seconds.
        episode_return: sum of -log1p(wait), the reference reward.
        size_wait: (E, len(VM_SIZES)) sum of waits of the VMs of each size, seconds; `inf` as above.
        overtaken: VMs that others passed, which arrived later and were placed before.
        passes: how often that happened, a VM and one that passed it counting once.
        most_passes: by how many the VM was passed that most passed.
    """

    start: npt.NDArray[np.int64]
    placed: npt.NDArray[np.int64]
    total_wait: npt.NDArray[np.float64]
    max_wait: npt.NDArray[np.float64]
    episode_return: npt.NDArray[np.float64]
    size_wait: npt.NDArray[np.float64]
    overtaken: npt.NDArray[np.int64]
    passes: npt.NDArray[np.int64]
    most_passes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def empty(cls, episodes: int) -> EpisodeResults:
        """Room for the results of `episodes` episodes."""
        return cls.of_state(np.zeros((episodes, COUNTERS), np.int64), np.zeros((episodes, CLOCKS)))

    @classmethod
    def of_state(cls, counters: npt.NDArray[np.int64], clocks: npt.NDArray[np.float64]) -> EpisodeResults:
        """Read results from rows of `LaneState.counters` and `.clocks` (copies)."""
        stuck = counters[:, STATUS] > FINISHED
        return cls(
            start=counters[:, START].copy(),
            placed=counters[:, PLACED].copy(),
            total_wait=np.where(stuck, np.inf, clocks[:, TOTAL_WAIT]),
            max_wait=np.where(stuck, np.inf, clocks[:, MAX_WAIT]),
            episode_return=np.where(stuck, -np.inf, clocks[:, RETURN]),
            size_wait=np.where(stuck[:, None], np.inf, clocks[:, SIZE_WAIT:]),
            overtaken=counters[:, OVERTAKEN].copy(),
            passes=counters[:, PASSES].copy(),
            most_passes=counters[:, MOST_PASSES].copy(),
        )

    def store(self, episodes: npt.NDArray[np.int64], results: EpisodeResults) -> None:
        """Write `results` to the rows `episodes`."""
        for field in fields(self):
            getattr(self, field.name)[episodes] = getattr(results, field.name)


def run_heuristic(
    workload: Workload,
    cluster: Cluster,
    heuristic: Heuristic,
    starts: npt.ArrayLike,
    vm_counts: npt.ArrayLike,
    seed: int = 0,
) -> EpisodeResults:
    """Run one episode of `vm_counts[e]` VMs from row `starts[e]` for every e (a scalar serves all).

    `seed` decides the choices of `random`; an episode's choices do not depend on the other episodes.
    """
    return EpisodeResults.of_state(*play_heuristic(workload, cluster, heuristic, starts, vm_counts, seed))


def play_heuristic(
    workload: Workload,
    cluster: Cluster,
    heuristic: Heuristic,
    starts: npt.ArrayLike,
    vm_counts: npt.ArrayLike,
    seed: int = 0,
) -> Ends:
    """`run_heuristic` of any objective, whose results class reads what is returned."""
    workload.check_cluster(cluster)
    starts, vm_counts = workload.check_episodes(starts, vm_counts)
    code, fragmentation = heuristic.compile(workload, cluster.pairs)
    longest = int(vm_counts.max(initial=1))
    index = index_for(code, workload, cluster, fragmentation)
    scratch = allocate(1, cluster.slots, longest, queue=workload.arrays.queue, index=index)
    finished = allocate(len(starts), 0, 0)
    _run_episodes(workload.arrays, scratch, code, fragmentation, starts, vm_counts, np.uint64(seed), finished)
    return Ends(finished.counters, finished.clocks)


def index_for(
    code: int,
    workload: Workload,
    cluster: Cluster,
    fragmentation: FragmentationArrays = NO_FRAGMENTATION,
) -> ServerIndex | None:
    """What heuristic `code` needs not to look at every server; None where it must, or is faster to.

    Other rules than first come, first served look at what is reserved, or have servers that come later.
    """
    ends_early = code in (FIRST_FIT, MOVE_TO_FRONT, RANDOM)
    if not is_indexed(SCANNED_SERVERS * (2 if ends_early else 1), workload, cluster):
        return None
    return index_of(code, workload, cluster, fragmentation)


def is_indexed(few: int, workload: Workload, cluster: Cluster) -> bool:
    """Whether there are more than `few` servers, and rules by which nothing else may matter."""
    arrays = workload.arrays
    return cluster.pairs > few and arrays.queue is None and arrays.growth is None


def index_of(
    code: int, workload: Workload, cluster: Cluster, fragmentation: FragmentationArrays
) -> ServerIndex:
    """The same for a cluster of any size."""
    # Siblings and exits make a server worth more or less although it has not changed.
    by_server = fragmentation.siblings == 0.0 and fragmentation.exits == 0.0
    if code in (BEST_FIT, WORST_FIT, BEST_FIT_VMAGENT, SBF) or (code == FGD and by_server):
        ranking = ranking_of(cluster.pairs, workload, code, fragmentation)
        return ServerIndex(None, ranking, StaleServers.none_of(cluster.pairs))
    return ServerIndex(tree_of(cluster.pairs), None, None)


def probe_vm_counts(
    workload: Workload, cluster: Cluster, starts: npt.ArrayLike, extra: int = EXTRA_VMS
) -> npt.NDArray[np.int64]:
    """The length of the episode at each start: VMs First Fit places before one fits nowhere, plus `extra`.

    As in the reference, that one is tested before the departures due at its arrival are processed. The counts
    depend on the trace and the cluster alone, not on the queue discipline, and are remembered per workload
    and number of servers.
    """
    workload.check_cluster(cluster)
    starts = np.atleast_1d(np.asarray(starts, np.int64))
    workload.check_starts(starts)
    known = workload.probed.setdefault(cluster.pairs, np.zeros(len(workload), np.int32))
    missing = np.unique(starts[known[starts] == 0])
    if len(missing):
        fifo = workload.under(FIFO)
        longest, index = 4096, index_for(FIRST_FIT, fifo, cluster)
        while True:
            scratch = allocate(1, cluster.slots, longest, index=index)
            placed = _probe(fifo.arrays, scratch, missing)
            unfinished = placed < 0
            known[missing[~unfinished]] = placed[~unfinished]
            missing = missing[unfinished]
            if not len(missing):
                break
            longest = min(8 * longest, len(workload))
    return known[starts].astype(np.int64) + extra


@inlined
def _choose(
    index: Any,
    code: int,
    work: WorkloadArrays,
    scratch: LaneState,
    random: npt.NDArray[np.uint64],
    fragmentation: FragmentationArrays,
) -> int:
    """The slot heuristic `code` chooses in the only lane; `index` is that of `scratch`."""
    if index is not None:  # by itself, so that nothing is compiled where there is none
        slot = _choose_by_index(index.most, index.ranking, code, work, scratch)
        if slot >= 0:
            return slot
    return choose(code, work, scratch, 0, random, fragmentation)


@inlined
def _choose_by_index(most: Any, ranking: Any, code: int, work: WorkloadArrays, scratch: LaneState) -> int:
    """The same where the index knows, -1 where every server is to be looked at."""
    vm = scratch.counters[0, HEAD]
    need = work.need[vm]
    if ranking is not None:  # noqa: SIM102  # by itself, so that nothing is compiled where there is none
        # The first VM has not come there by `settle`, which finds the slot.
        if ranking.column[ranking.kind[vm]] >= 0 and vm > scratch.counters[0, START]:
            return scratch.counters[0, FIRST_SLOT]
    if most is not None:  # noqa: SIM102
        if code == BALANCE_FIT and not need[DOUBLE]:
            return most_unbalanced(most, scratch.free[0], scratch.share[0], need, work.capacity[0])
    return -1


@compiled
def _run_episodes(
    work: WorkloadArrays,
    scratch: LaneState,
    code: int,
    fragmentation: FragmentationArrays,
    starts: npt.NDArray[np.int64],
    vm_counts: npt.NDArray[np.int64],
    seed: np.uint64,
    finished: LaneState,
) -> None:
    """Run one episode after the other in the lane of `scratch`; counters and clocks go to `finished`."""
    work, scratch, finished = borrowed(work), borrowed(scratch), borrowed(finished)
    fragmentation = borrowed(fragmentation)
    counters = scratch.counters[0]
    random = np.empty(1, np.uint64)
    for episode in range(len(starts)):
        random[0] = (seed << np.uint64(32)) ^ np.uint64(starts[episode])
        begin(work, scratch, 0, starts[episode], vm_counts[episode])
        while counters[STATUS] == RUNNING:
            place(work, scratch, 0, _choose(scratch.index, code, work, scratch, random, fragmentation))
        copy_into(finished.counters[episode], counters)
        copy_into(finished.clocks[episode], scratch.clocks[0])


@compiled
def _probe(work: WorkloadArrays, scratch: LaneState, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """VMs placed by First Fit before one fits nowhere; -1 where more than the lane has room for."""
    work, scratch = borrowed(work), borrowed(scratch)
    placed = np.empty(len(starts), np.int64)
    free, counters = scratch.free[0], scratch.counters[0]
    longest = scratch.slot_of.shape[1]
    for episode in range(len(starts)):
        reset_lane(work, scratch, 0, starts[episode], longest)
        slot = lowest_slot(scratch.index, free, work.need[counters[HEAD]], work.capacity)
        while slot >= 0 and counters[HEAD] < counters[STOP]:
            occupy(work, scratch, 0, slot)
            head = counters[HEAD]
            if lowest_slot(scratch.index, free, work.need[head], work.capacity) < 0:
                break
            release_until(work, scratch, 0, work.times[head, ARRIVAL])
            scratch.clocks[0, NOW] = work.times[head, ARRIVAL]
            slot = lowest_slot(scratch.index, free, work.need[head], work.capacity)
        placed[episode] = counters[HEAD] - counters[START]
        if counters[HEAD] == counters[STOP] and counters[HEAD] < len(work.need) - 1:
            placed[episode] = -1
    return placed

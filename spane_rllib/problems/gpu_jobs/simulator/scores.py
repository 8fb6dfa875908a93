"""Policies whose order changes as time goes by: WFP3 and UNICEP (Tang et al., CLUSTER 2009).

They look at every waiting job at every decision.
"""

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled
from spane_rllib.problems.gpu_jobs.simulator.cluster import ClusterArrays
from spane_rllib.problems.gpu_jobs.simulator.events import advance, start
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE
from spane_rllib.problems.gpu_jobs.simulator.placing import fits, largest_of, largest_share
from spane_rllib.problems.gpu_jobs.simulator.state import NEXT, NOW, WAITING, JobArrays, Queue, State

WFP3, UNICEP = range(2)


@compiled
def play_scored(
    state: State, jobs: JobArrays, cluster: ClusterArrays, queue: Queue, score: int, horizon: float
) -> None:
    """A whole simulation up to `horizon`, seconds: of the jobs that fit, that of highest score starts.

    Args:
        score: WFP3 or UNICEP; of equal scores the first to arrive counts.
    """
    state, jobs, cluster, queue = borrowed(state), borrowed(jobs), borrowed(cluster), borrowed(queue)
    pending = np.empty(len(jobs.arrival), np.int64)
    where = np.empty(len(jobs.arrival), np.int64)
    arrived, waited = 0, 0
    while advance(state, jobs, queue, horizon):
        while arrived < state.count[NEXT]:
            pending[waited], where[arrived] = arrived, waited
            waited += 1
            arrived += 1
        now = state.clock[NOW]
        while state.count[WAITING] > 0:
            largest, share = largest_of(state.whole, cluster), largest_share(state)
            best, chosen = -np.inf, -1
            for at in range(waited):
                job = pending[at]
                if not fits(jobs.milli[job], largest, share):
                    continue
                # Of jobs without GPUs, scores would all be 0, or divided by the logarithm of 1.
                gpus = max(jobs.milli[job], 1) / WHOLE
                ratio = (now - jobs.arrival[job]) / jobs.estimate[job]
                value = ratio**3 * gpus if score == WFP3 else ratio / np.log2(gpus + 1.0)
                if value > best or (value == best and job < chosen):
                    best, chosen = value, job
            if chosen < 0:
                break
            start(state, jobs, cluster, queue, False, chosen)
            waited -= 1
            last = pending[waited]
            pending[where[chosen]], where[last] = last, where[chosen]

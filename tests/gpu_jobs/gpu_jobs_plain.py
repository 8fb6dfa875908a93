"""A second implementation of the corrected rules, with simpy and lists, for comparison only."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import simpy

from spane_rllib.problems.gpu_jobs.policies import ORDERS
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.jobs import Jobs


class PlainCluster:
    """GPUs one by one: `free` has the thousandths of every GPU, pool by pool, the fastest type first."""

    def __init__(self, cluster: Cluster) -> None:
        self.split = cluster.split
        self.free: list[list[int]] = []
        self.kind: list[str] = []
        self.speed: list[float] = []
        for each in cluster.ordered:
            left = each.count
            while left:
                size = min(each.node or each.count, left)
                self.free.append([1000] * size)
                self.kind.append(each.name)
                self.speed.append(each.speed)
                left -= size

    def where(self, milli: int, weights: dict[int, float] | None = None) -> list[tuple[int, int]] | None:
        """(pool, GPU) of those that a request would get, or None if it does not fit."""
        if milli == 0:
            return []
        if milli < 1000:
            begun = [
                (free, pool, gpu)
                for pool, gpus in enumerate(self.free)
                for gpu, free in enumerate(gpus)
                if milli <= free < 1000
            ]
            if begun:
                least = min(free for free, _, _ in begun)
                # Equal ones are alike but for the pool; which is taken depends on when they were opened.
                return [next((pool, gpu) for free, pool, gpu in begun if free == least)]
            return next(
                ([(p, g)] for p, gpus in enumerate(self.free) for g, f in enumerate(gpus) if f == 1000), None
            )
        count = milli // 1000
        empty = [[g for g, free in enumerate(gpus) if free == 1000] for gpus in self.free]
        able = [pool for pool, gpus in enumerate(empty) if len(gpus) >= count]
        if able:
            pool = able[0]
            if weights:

                def lost(free: int) -> float:
                    return sum(weight * free for size, weight in weights.items() if size > free * 1000)

                change = {p: lost(len(empty[p]) - count) - lost(len(empty[p])) for p in able}
                pool = next(p for p in able if change[p] <= min(change.values()) + 1e-12)
            return [(pool, gpu) for gpu in empty[pool][:count]]
        groups: list[list[int]] = []
        if self.split != "never":
            groups += [
                [p for p, kind in enumerate(self.kind) if kind == name] for name in dict.fromkeys(self.kind)
            ]
        if self.split == "any":
            groups.append(list(range(len(self.free))))
        for group in groups:
            gpus = [(pool, gpu) for pool in group for gpu in empty[pool]]
            if len(gpus) >= count:
                return gpus[:count]
        return None

    def change(self, held: list[tuple[int, int]], milli: int) -> None:
        """Take (or with less than 0 give back) what a request holds."""
        for pool, gpu in held:
            self.free[pool][gpu] -= max(min(milli, 1000), -1000)


def simulate(jobs: Jobs, cluster: Cluster, policy: Any, estimate: Any) -> tuple[Any, Any]:
    """(N,) starts and finishes under `first_fit`, `strict`, `easy`, `wfp3` or `unicep`, in simpy."""
    environment, gpus = simpy.Environment(), PlainCluster(cluster)
    keys = ORDERS[policy.order](jobs, estimate, 0)
    rank = list(np.lexsort([np.arange(len(jobs)), *[np.asarray(key) for key in reversed(keys)]]))
    waiting: list[int] = []
    running: dict[int, tuple[list[tuple[int, int]], float]] = {}
    start, finish = np.full(len(jobs), np.nan), np.full(len(jobs), np.nan)
    sizes, counts = np.unique(jobs.milli, return_counts=True)
    weights = (
        dict(zip(sizes.tolist(), (counts / len(jobs)).tolist(), strict=True)) if policy.gradient else None
    )

    def begin(job: int, held: list[tuple[int, int]]) -> None:
        waiting.remove(job)
        gpus.change(held, int(jobs.milli[job]))
        speed = min((gpus.speed[pool] for pool, _ in held), default=1.0)
        start[job] = environment.now
        running[job] = (held, environment.now + estimate[job] / speed)
        environment.process(run(job, jobs.runtime[job] / speed))

    def run(job: int, seconds: float) -> Iterator[Any]:
        finish[job] = environment.now + seconds
        yield environment.timeout(seconds)
        gpus.change(running.pop(job)[0], -int(jobs.milli[job]))
        environment.process(decide())

    def arrive() -> Iterator[Any]:
        for job in range(len(jobs)):
            yield environment.timeout(jobs.arrival[job] - environment.now)
            waiting.append(job)
            environment.process(decide())

    def choose() -> int | None:
        ordered = sorted(waiting, key=rank.index)
        fitting = [job for job in ordered if gpus.where(int(jobs.milli[job]), weights) is not None]
        if policy.how == "strict":
            return ordered[0] if ordered and ordered[0] in fitting else None
        if policy.how in ("wfp3", "unicep"):
            now = environment.now

            def score(job: int) -> float:
                count = max(jobs.milli[job], 1) / 1000
                ratio = (now - jobs.arrival[job]) / estimate[job]
                return ratio**3 * count if policy.how == "wfp3" else ratio / np.log2(count + 1.0)

            return max(fitting, key=lambda job: (score(job), -job)) if fitting else None
        if policy.how == "easy" and ordered and ordered[0] not in fitting:
            return backfill(ordered, fitting)
        return fitting[0] if fitting else None

    def backfill(ordered: list[int], fitting: list[int]) -> int | None:
        head = int(jobs.milli[ordered[0]])
        for job in fitting:
            held = gpus.where(int(jobs.milli[job]))
            assert held is not None
            speed = min((gpus.speed[pool] for pool, _ in held), default=1.0)
            if estimate[job] / speed <= shadow(head, [], 0) - environment.now + 1e-9:
                return job
            if shadow(head, held, int(jobs.milli[job])) <= shadow(head, [], 0):
                return job
        return None

    def shadow(head: int, held: list[tuple[int, int]], milli: int) -> float:
        """When the head is expected to fit, if `held` is given away for ever."""
        gpus.change(held, milli)
        ends = sorted((max(end, environment.now), job) for job, (_, end) in running.items())
        given, at = [], environment.now
        while gpus.where(head) is None and ends:
            at, job = ends.pop(0)
            gpus.change(running[job][0], -int(jobs.milli[job]))
            given.append(job)
        fits = gpus.where(head) is not None
        for job in given:
            gpus.change(running[job][0], int(jobs.milli[job]))
        gpus.change(held, -milli)
        return at if fits else np.inf

    def decide() -> Iterator[Any]:
        # After everything else that happens at this instant.
        for _ in range(3):
            yield environment.timeout(0)
        while (job := choose()) is not None:
            held = gpus.where(int(jobs.milli[job]), weights)
            assert held is not None
            begin(job, held)

    environment.process(arrive())
    environment.run()
    return start, finish

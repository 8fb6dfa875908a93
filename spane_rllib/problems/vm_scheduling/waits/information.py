"""The study `information`: what a scheduler gains by knowing lifetimes, or what comes next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spane_rllib.problems.problem import Problem
from spane_rllib.problems.studies import Cell, OwnStudy
from spane_rllib.problems.vm_scheduling.waits.information_settings import InformationSettings

if TYPE_CHECKING:
    import pandas as pd

    from spane_rllib.problems.vm_scheduling.policies import Decide, Policy, Rows
    from spane_rllib.problems.vm_scheduling.simulator import Cluster, Lanes, Workload
    from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends

_BASE, _ALIGNED = "keep-64", "keep-64-exit"


class InformationStudy(OwnStudy):
    """See the module."""

    settings = InformationSettings
    columns = ("queue", "known")
    statistics = (
        *("trimmed_mean_10_s", "trimmed_mean_20_s", "mean_s", "catastrophe_rate", "longest_wait_p99_s"),
    )

    def cells(self, problem: Problem, config: Any) -> Sequence[Cell]:
        from spane_rllib.problems.vm_scheduling.data import (
            configured_cluster,
            configured_splits,
            configured_trace,
        )
        from spane_rllib.problems.vm_scheduling.task import starts_of
        from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance
        from spane_rllib.problems.vm_scheduling.waits.task import WaitEvaluation, WaitTask

        cluster = configured_cluster(config.cluster)
        trace = configured_trace(config.trace, cluster.is_double, cluster.kinds())
        splits = configured_splits(config.splits, trace)
        chosen = config.evaluation
        cells: list[Cell] = []
        for queue in config.queues:

            def row(label: str, lifetimes: str, policy: str, shown: str, queue: str = queue) -> Cell:
                instance = WaitInstance(
                    trace=trace,
                    splits=splits,
                    queue=queue,
                    lifetimes=lifetimes,
                    **config.cluster.model_dump(),
                )
                task = WaitTask(problem, instance)
                starts = starts_of(task, chosen)
                source = f"the {chosen.split} split"
                evaluation = WaitEvaluation(task, (cluster.servers,), starts, chosen.seed, source)
                return Cell(queue, label, evaluation, _Timed(task.load_policy(policy, shown)), shown)

            cells += self._of_queue(config, row)
        return cells

    def _of_queue(self, config: Any, row: Any) -> Iterator[Cell]:
        """The rows of one queue discipline; `row(label, lifetimes, policy, shown)` makes them."""
        options = ",".join(f"{name}={value}" for name, value in config.planner.model_dump().items())
        planner = f"rollout:base={_BASE},{options}"
        ahead = f"{planner},announced={config.announced}"
        minutes = f"arrivals of {config.announced / 60:g} min"
        base = row("nothing", "unknown", _BASE, _BASE)
        yield base
        yield row("nothing", "unknown", planner, "rollout")
        for noise in (*config.noises, 0.0):
            label = f"lifetimes, {noise:.0%} noise" if noise else "lifetimes"
            lifetimes = f"predicted:{noise}" if noise else "known"
            yield row(label, lifetimes, _ALIGNED, _ALIGNED)
            yield row(label, lifetimes, planner, "rollout")
        yield row(minutes, "unknown", ahead, "rollout")
        yield row(f"lifetimes and {minutes}", "known", ahead, "rollout")
        true = f"rollout:base={_BASE},alternatives={config.planner.alternatives},future=true"
        yield row("everything", "known", true, "rollout")
        yield replace(base, label="everything", shown="lower bound", derived=_bound)

    def explained(self, config: Any) -> Iterator[str]:
        yield f"Servers: {config.cluster.count}."
        yield (
            f"{_BASE} knows nothing; {_ALIGNED} goes by lifetimes; rollout deviates from {_BASE} where an "
            "alternative waits less on sampled futures by "
            f"{config.planner.significance:g} standard errors ({config.planner.scenarios} futures of "
            f"{config.planner.vms} arrivals)."
        )
        yield (
            "With noise, log(prediction / lifetime) is normal with standard deviation log(1 + noise). "
            "Everything: alternatives are played to the end of the episode with what really comes."
        )


def _bound(episodes: pd.DataFrame) -> pd.DataFrame:
    """The lower bounds on the waits of episodes, in the place of the waits."""
    return episodes.assign(total_wait_s=episodes["lower_bound_s"], max_wait_s=float("nan"))


class _Timed:
    """A policy, and how long its decisions took in this process.

    Attributes:
        seconds: of processor time, in `play`.
        decisions: in `play`.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name, self.identity, self.accepts = policy.name, policy.identity, policy.accepts
        self.seconds, self.decisions = 0.0, 0

    def play(self, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int) -> Ends:
        """As the policy, after a decision or two that compile it."""
        self._policy.play(workload, cluster, starts[:1], vm_counts[:1] * 0 + 2, seed)
        begun = time.process_time()
        ends = self._policy.play(workload, cluster, starts, vm_counts, seed)
        self.seconds += time.process_time() - begun
        self.decisions += int(vm_counts.sum())
        return ends

    def decider(self, lanes: Lanes, start: int, seed: int) -> Decide:
        """As the policy."""
        return self._policy.decider(lanes, start, seed)

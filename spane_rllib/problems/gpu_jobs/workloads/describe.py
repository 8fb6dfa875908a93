"""What is in a workload: sizes, run times, priorities, users, arrivals, and demand over time."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

import numpy as np

from spane_rllib.core.console import format_table
from spane_rllib.problems.gpu_jobs.simulator.jobs import Floats, Jobs
from spane_rllib.problems.gpu_jobs.simulator.schedule import passed

DAY_S = 86_400.0
_MOST_DAYS = 400
_MOST_GROUPS, _MOST_ROWS = 16, 31


@dataclass(frozen=True)
class Group:
    """Jobs that have something in common, called `value`; run times in seconds."""

    value: float
    jobs: int
    share: float
    gpu_seconds_share: float
    median_runtime: float
    mean_runtime: float


@dataclass(frozen=True)
class JobsDescription:
    """Summary of a workload; times in seconds.

    Args:
        load: GPU-seconds asked for over those that `gpus` have from the first to the last arrival.
        demand: of GPUs if every job started when it arrives: least, median and most, weighted by time.
        daily_demand: mean of each day.
        busiest_users: share of the jobs of the one and of the ten that send most.
    """

    name: str
    sha256: str
    jobs: int
    first_arrival: float
    arrival_span: float
    arrivals_per_hour: float
    same_second_share: float
    runtime_quartiles: tuple[float, float, float]
    runtime_mean: float
    runtime_p99: float
    runtime_maximum: float
    gpu_seconds: float
    gpus: int
    load: float
    by_gpus: list[Group]
    by_priority: list[Group]
    users: int
    busiest_users: tuple[float, float]
    demand: tuple[float, float, float]
    daily_demand: list[float]

    def to_json(self) -> str:
        """The description as JSON; infinite values become null."""
        finite = json.loads(json.dumps(asdict(self)), parse_constant=lambda name: None)
        return json.dumps(finite, indent=2)

    def to_text(self) -> str:
        """The description as tables."""
        q1, q2, q3 = self.runtime_quartiles
        least, middle, most = self.demand
        lines = [
            f"{self.name}: {self.jobs:,} jobs; users: {self.users:,}, the busiest sends "
            f"{self.busiest_users[0]:.1%} of them, the busiest ten {self.busiest_users[1]:.1%}",
            f"content sha256: {self.sha256}",
            f"arrivals: {self.arrival_span:,.0f} s ({self.arrival_span / DAY_S:.1f} days) from second "
            f"{self.first_arrival:,.0f}, {self.arrivals_per_hour:,.1f} per hour, "
            f"{self.same_second_share:.1%} in the same second as the one before",
            f"run times (s): quartiles {q1:,.0f} / {q2:,.0f} / {q3:,.0f}, mean {self.runtime_mean:,.0f}, "
            f"99% {self.runtime_p99:,.0f}, maximum {self.runtime_maximum:,.0f}",
            f"load: {self.gpu_seconds:,.0f} GPU-seconds, {self.load:.3g} times what {self.gpus} GPUs do "
            "while jobs arrive",
            f"GPUs asked for if every job started when it arrives: {least:,.0f} to {most:,.0f}, median "
            f"{middle:,.0f}",
            "",
            _groups_table("GPUs", self.by_gpus),
            "",
            _groups_table("priority", self.by_priority),
        ]
        if 0 < len(self.daily_demand) <= _MOST_ROWS:
            daily = [(day, f"{value:,.1f}") for day, value in enumerate(self.daily_demand)]
            lines += ["", "mean demand by day:", format_table(("day", "GPUs"), daily)]
        return "\n".join(lines)


def _groups_table(title: str, groups: list[Group]) -> str:
    header = (title, "jobs", "share", "of GPU-seconds", "median run time (s)", "mean run time (s)")
    rows = [
        (
            *(f"{group.value:g}", f"{group.jobs:,}", f"{group.share:.2%}", f"{group.gpu_seconds_share:.2%}"),
            *(f"{group.median_runtime:,.0f}", f"{group.mean_runtime:,.0f}"),
        )
        for group in groups
    ]
    return format_table(header, rows)


def describe(jobs: Jobs, gpus: int) -> JobsDescription:
    """Summarise at least one job; `load` is on `gpus`."""
    span = float(jobs.arrival[-1] - jobs.arrival[0])
    q1, q2, q3, p99 = np.percentile(jobs.runtime, [25, 50, 75, 99])
    sent = np.sort(np.unique(jobs.user, return_counts=True)[1])[::-1]
    times, demand = _demand(jobs)
    return JobsDescription(
        name=jobs.name,
        sha256=jobs.sha256,
        jobs=len(jobs),
        first_arrival=float(jobs.arrival[0]),
        arrival_span=span,
        arrivals_per_hour=len(jobs) / max(span, 1.0) * 3600,
        same_second_share=float((np.diff(np.floor(jobs.arrival)) == 0).mean()) if len(jobs) > 1 else 0.0,
        runtime_quartiles=(float(q1), float(q2), float(q3)),
        runtime_mean=float(jobs.runtime.mean()),
        runtime_p99=float(p99),
        runtime_maximum=float(jobs.runtime.max()),
        gpu_seconds=float((jobs.runtime * jobs.gpus).sum()),
        gpus=gpus,
        load=jobs.load(gpus),
        by_gpus=_groups(jobs, jobs.gpus),
        by_priority=_groups(jobs, jobs.priority),
        users=len(sent),
        busiest_users=(float(sent[0] / len(jobs)), float(sent[:10].sum() / len(jobs))),
        demand=_spread(times, demand, jobs),
        daily_demand=_daily(jobs),
    )


def _groups(jobs: Jobs, values: Floats) -> list[Group]:
    """Jobs by value, ascending: the values that most jobs have."""
    found, counts = np.unique(values, return_counts=True)
    work = jobs.runtime * jobs.gpus
    groups = []
    for value in np.sort(found[np.argsort(-counts, kind="stable")[:_MOST_GROUPS]]):
        chosen = values == value
        runtime = jobs.runtime[chosen]
        groups.append(
            Group(
                value=float(value),
                jobs=int(chosen.sum()),
                share=float(chosen.mean()),
                gpu_seconds_share=float(work[chosen].sum() / work.sum()) if work.any() else 0.0,
                median_runtime=float(np.median(runtime)),
                mean_runtime=float(runtime.mean()),
            )
        )
    return groups


def _demand(jobs: Jobs) -> tuple[Floats, Floats]:
    """Instants, ascending, and the GPUs that are asked for from each on."""
    times = np.concatenate([jobs.arrival, jobs.arrival + jobs.runtime])
    change = np.concatenate([jobs.gpus, -jobs.gpus])
    order = np.argsort(times, kind="stable")
    return times[order], np.maximum(np.cumsum(change[order]), 0.0)


def _spread(times: Floats, demand: Floats, jobs: Jobs) -> tuple[float, float, float]:
    """Least, median and most demand from the first to the last arrival, weighted by time."""
    last = float(jobs.arrival[-1])
    lengths = np.minimum(np.append(times[1:], last), last) - np.minimum(times, last)
    inside = lengths > 0
    if not inside.any():  # everything arrives at one moment
        return (float(demand.max()),) * 3
    values, lengths = demand[inside], lengths[inside]
    order = np.argsort(values)
    passed_by = np.cumsum(lengths[order])
    middle = values[order][np.searchsorted(passed_by, passed_by[-1] / 2)]
    return float(values.min()), float(middle), float(values.max())


def _daily(jobs: Jobs) -> list[float]:
    """Mean demand of each day of arrivals; nothing of very many days."""
    days = int(np.ceil((jobs.arrival[-1] - jobs.arrival[0]) / DAY_S))
    if not 1 <= days <= _MOST_DAYS:
        return []
    edges = jobs.arrival[0] + DAY_S * np.arange(days + 1)
    gpus = jobs.gpus
    held = passed(jobs.arrival, gpus, edges) - passed(jobs.arrival + jobs.runtime, gpus, edges)
    return [round(float(value), 3) for value in np.diff(held) / DAY_S]


def plot(jobs: Jobs, path: str | os.PathLike[str]) -> None:
    """Draw run times, sizes and demand over time to a file."""
    from spane_rllib.core.files import replacing
    from spane_rllib.core.plotting import PALETTE, check_drawable, panels, write_plainly

    check_drawable(path)
    figure, (runtimes, sizes, over_time) = panels(3, 3, 4.2, 3.2)
    ordered = np.sort(jobs.runtime)
    runtimes.plot(ordered, np.arange(1, len(jobs) + 1) / len(jobs), color=PALETTE[0])
    runtimes.set(xscale="log", xlabel="run time, s", ylabel="share of jobs", ylim=(0, 1))
    groups = _groups(jobs, jobs.gpus)
    at = np.arange(len(groups))
    for offset, color, label, shares in (
        (-0.2, PALETTE[0], "jobs", [group.share for group in groups]),
        (0.2, PALETTE[1], "GPU-seconds", [group.gpu_seconds_share for group in groups]),
    ):
        sizes.bar(at + offset, shares, 0.4, color=color, label=label)
    sizes.set_xticks(at, [f"{group.value:g}" for group in groups])
    sizes.set(xlabel="GPUs", ylabel="share")
    sizes.legend(fontsize="small")
    times, demand = _demand(jobs)
    inside = times <= jobs.arrival[-1]
    stride = max(1, int(inside.sum()) // 5000)
    days = (times[inside] - jobs.arrival[0])[::stride] / DAY_S
    over_time.step(days, demand[inside][::stride], where="post", color=PALETTE[2], linewidth=0.7)
    over_time.set(xlabel="days", ylabel="GPUs asked for")
    write_plainly(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)

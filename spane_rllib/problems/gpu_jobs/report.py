"""What a report says of an evaluation beside its tables: the figures of the reference, and its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spane_rllib.core.plotting import PALETTE, log_scale_y, panels
from spane_rllib.problems.gpu_jobs.details import EDGES, Details, read_details, together
from spane_rllib.problems.gpu_jobs.published_results import published_and_ours, published_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spane_rllib.problems.problem import Block

_SHOWN = 6
"""Policies of a figure: the best by `weighted_jct_s`."""
_WHISKERS = (0.05, 0.25, 0.5, 0.75, 0.95)
Panels = Sequence[tuple[str, str, pd.DataFrame, list[Details]]]
"""Workload, policy, rows and their details of each panel, the best policy of a workload first."""


def report(episodes: pd.DataFrame, summary: pd.DataFrame) -> Iterator[Block]:
    """The blocks of `Problem.report`."""
    found = published_and_ours(summary)
    if not found.empty:
        yield published_text(found)
        yield "published_and_ours", found
    shown = [
        (str(workload), str(policy), rows, read_details(rows))
        for workload, group in summary.groupby("workload", sort=False)
        for policy in group.nsmallest(_SHOWN, "weighted_jct_s")["policy"]
        for rows in [episodes[(episodes["workload"] == workload) & (episodes["policy"] == policy)]]
    ]
    yield "completion_times_over_arrivals", over_arrivals(shown)
    yield "completion_times_by_arrival_and_priority", by_arrival_and_priority(shown)
    yield "completion_times_by_priority", boxes(shown)
    yield "completion_times_by_priority", priority_table(shown)
    yield "completion_times_cumulative", cumulative(shown)
    yield "utilization_over_time", utilization(shown)
    yield "utilization_by_type", utilization_by_type(shown)


def _by_workload(shown: Panels) -> Iterator[tuple[str, Panels]]:
    for workload in dict.fromkeys(one[0] for one in shown):
        yield workload, [one for one in shown if one[0] == workload]


def _priorities(details: Sequence[Details]) -> list[float]:
    return sorted({priority for one in details for priority in one.jct})


def _colour(at: int) -> str:
    return PALETTE[at % len(PALETTE)]


def over_arrivals(shown: Panels) -> Figure:
    """Mean completion time by priority of the jobs that arrived together, a line for each policy."""
    groups = list(_by_workload(shown))
    figure, axes = panels(len(groups), 1, 8, 3)
    for axis, (workload, group) in zip(axes, groups, strict=True):
        for at, (_, policy, rows, _) in enumerate(group):
            axis.plot(rows["block"], rows["weighted_jct_s"], label=policy, color=_colour(at), linewidth=1)
        log_scale_y(axis, pd.concat([rows["weighted_jct_s"] for *_, rows, _ in group]))
        axis.set_title(workload, fontsize="small")
        axis.legend(fontsize="x-small")
    figure.supxlabel("block of arrivals", fontsize="medium")
    figure.supylabel("completion time by priority, s", fontsize="medium")
    return figure


def by_arrival_and_priority(shown: Panels) -> Figure:
    """Mean completion time of the jobs that arrived together, a line for each priority."""
    figure, axes = panels(len(shown), 2, 5.2, 2.6)
    for axis, (workload, policy, _, details) in zip(axes, shown, strict=True):
        for at, priority in enumerate(_priorities(details)):
            means = [one.jct[priority].mean if priority in one.jct else np.nan for one in details]
            label = f"priority {priority:g}"
            axis.plot(means, label=label, color=_colour(at), linewidth=1, marker=".", markersize=3)
        axis.set_yscale("log")
        axis.set_title(f"{policy}, {workload}", fontsize="small")
    if axes:
        axes[0].legend(fontsize="x-small")
    figure.supxlabel("block of arrivals", fontsize="medium")
    figure.supylabel("mean completion time, s", fontsize="medium")
    return figure


def boxes(shown: Panels) -> Figure:
    """Quartiles of completion times by priority, with whiskers at 5 and 95 %."""
    groups = list(_by_workload(shown))
    figure, axes = panels(len(groups), 1, 8, 3)
    for axis, (workload, group) in zip(axes, groups, strict=True):
        for at, (*_, details) in enumerate(group):
            priorities = _priorities(details)
            stats = []
            for priority in priorities:
                all_jobs = together(one.jct[priority] for one in details if priority in one.jct)
                low, first, middle, third, high = (all_jobs.quantile(share) for share in _WHISKERS)
                stats.append({"whislo": low, "q1": first, "med": middle, "q3": third, "whishi": high})
            places = [place + (at - (len(group) - 1) / 2) * 0.8 / len(group) for place in range(len(stats))]
            style = {"color": _colour(at)}
            parts = axis.bxp(
                stats, places, widths=0.7 / len(group), showfliers=False, boxprops=style, whiskerprops=style
            )
            parts["boxes"][0].set_label(group[at][1])
            axis.set_xticks(range(len(priorities)), [f"priority {priority:g}" for priority in priorities])
        axis.set_yscale("log")
        axis.set_title(workload, fontsize="small")
        axis.legend(fontsize="x-small")
    figure.supylabel("completion time, s", fontsize="medium")
    return figure


def priority_table(shown: Panels) -> pd.DataFrame:
    """Completion times by priority; quantiles are to within a tenth."""
    rows = []
    for workload, policy, _, details in shown:
        for priority in _priorities(details):
            jobs = together(one.jct[priority] for one in details if priority in one.jct)
            quantiles = {f"p{100 * share:g}_jct_s": round(jobs.quantile(share), 1) for share in _WHISKERS}
            row = {"workload": workload, "policy": policy, "priority": priority, "jobs": jobs.count}
            rows.append(row | {"mean_jct_s": jobs.mean, **quantiles})
    return pd.DataFrame(rows)


def cumulative(shown: Panels) -> Figure:
    """Share of jobs that are completed within a time."""
    groups = list(_by_workload(shown))
    figure, axes = panels(len(groups), 2, 5.2, 3)
    for axis, (workload, group) in zip(axes, groups, strict=True):
        last = 1.0
        for at, (_, policy, _, details) in enumerate(group):
            jobs = together(one for detail in details for one in detail.jct.values())
            axis.plot(EDGES, jobs.cumulative, label=policy, color=_colour(at), linewidth=1)
            last = max(last, jobs.largest)
        axis.set(xscale="log", xlim=(1, last), ylim=(0, 1), title=workload)
        axis.title.set_fontsize("small")
        axis.legend(fontsize="x-small")
    figure.supxlabel("completion time, s", fontsize="medium")
    figure.supylabel("share of jobs", fontsize="medium")
    return figure


def utilization(shown: Panels) -> Figure:
    """Share of the GPUs, and of their FLOPS, in use in each slice of the run."""
    groups = list(_by_workload(shown))
    figure, axes = panels(2 * len(groups), 2, 5.2, 2.6)
    for row, (workload, group) in enumerate(groups):
        for column, (key, text) in enumerate((("", "GPUs"), ("flops", "FLOPS"))):
            axis = axes[2 * row + column]
            for at, (_, policy, _, details) in enumerate(group):
                share = [100 * one.use[key] for one in details]
                axis.step(_slices(details), share, label=policy, color=_colour(at), linewidth=1, where="mid")
            axis.set(ylim=(0, 102), title=f"{text}, {workload}")
            axis.title.set_fontsize("small")
    axes[0].legend(fontsize="x-small")
    figure.supxlabel("time of the run, %", fontsize="medium")
    figure.supylabel("in use, %", fontsize="medium")
    return figure


def utilization_by_type(shown: Panels) -> Figure:
    """Share of the GPUs of each type in use in each slice of the run."""
    figure, axes = panels(len(shown), 2, 5.2, 2.4)
    for axis, (workload, policy, _, details) in zip(axes, shown, strict=True):
        names = [name for name in details[0].use if name not in ("", "flops")]
        for at, name in enumerate(names):
            share = [100 * one.use[name] for one in details]
            axis.step(_slices(details), share, label=name, color=_colour(at), linewidth=1, where="mid")
        axis.set(ylim=(0, 102), title=f"{policy}, {workload}")
        axis.title.set_fontsize("small")
    axes[0].legend(fontsize="x-small")
    figure.supxlabel("time of the run, %", fontsize="medium")
    figure.supylabel("in use, %", fontsize="medium")
    return figure


def _slices(details: Sequence[Details]) -> list[float]:
    """Middles of the slices, in percent of the run."""
    return [100 * (at + 0.5) / len(details) for at in range(len(details))]

"""What a report says of an evaluation beside its tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from spane_rllib.problems.problem import Block


def report(episodes: pd.DataFrame, summary: pd.DataFrame) -> Iterator[Block]:
    """A figure for each workload: completion times over arrivals."""
    from matplotlib.figure import Figure

    workloads = list(dict.fromkeys(summary["workload"]))
    figure = Figure(figsize=(8, 3 * len(workloads)), layout="constrained")
    axes = figure.subplots(len(workloads), 1, squeeze=False)[:, 0]
    for axis, workload in zip(axes, workloads, strict=True):
        played = episodes[episodes["workload"] == workload]
        best = summary[summary["workload"] == workload].nsmallest(6, "weighted_jct_s")["policy"]
        for policy in best:
            rows = played[played["policy"] == policy]
            axis.plot(rows["block"], rows["weighted_jct_s"], label=policy, linewidth=1)
        axis.set_title(workload, fontsize="small")
        axis.set_yscale("log")
        axis.legend(fontsize="x-small")
    figure.supxlabel("block of arrivals", fontsize="medium")
    figure.supylabel("completion time by priority, s", fontsize="medium")
    yield "completion_times_over_arrivals", figure

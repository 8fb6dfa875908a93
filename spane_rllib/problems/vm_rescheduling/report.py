"""What a report says of evaluated plans: figures, and what one reads in them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure

from spane_rllib.core.plotting import PALETTE, panels


def report(episodes: pd.DataFrame, summary: pd.DataFrame) -> Iterator[str | tuple[str, Figure]]:
    """The best planner at every limit, fragment rate by limit and by time."""
    yield "## Reading"
    for limit, group in summary.groupby("migration_limit"):
        best = group.sort_values("mean", kind="stable").iloc[0]
        yield (
            f"With at most {limit} migrations `{best['policy']}` comes lowest: {best['mean']:.4f} from "
            f"{best['before']:.4f}, in {best['seconds']:.2f} s a plan; no plan comes below "
            f"{best['bound']:.4f} on average."
        )
    yield (
        "Synthetic mappings resemble the published ones (docs/vm_rescheduling.md), but results on them are "
        "not the paper's."
    )
    yield "fragment_rate", _by_limit_and_time(summary)


def _by_limit_and_time(summary: pd.DataFrame) -> Figure:
    figure, (by_limit, by_time) = panels(2, 2, 4.6, 3.6)
    limits = summary.groupby("migration_limit")["bound"].mean()
    by_limit.plot(limits.index, limits, color="black", linestyle=":", label="lower bound")
    for (policy, group), colour in zip(summary.groupby("policy", sort=False), cycle(PALETTE), strict=False):
        ordered = group.sort_values("migration_limit")
        by_limit.plot(ordered["migration_limit"], ordered["mean"], "o-", color=colour, label=policy, ms=4)
        by_time.plot(ordered["seconds"], ordered["mean"], "o", color=colour, ms=5)
    by_limit.set_xlabel("migrations at most")
    by_limit.set_ylabel("mean fragment rate")
    by_time.set_xlabel("mean seconds of a plan")
    by_time.set_ylabel("mean fragment rate")
    if summary["seconds"].min() > 0:
        by_time.set_xscale("log")
    figure.legend(*by_limit.get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    return figure

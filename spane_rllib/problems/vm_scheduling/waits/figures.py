"""Figures of evaluated waits: one row per policy, one panel per number of servers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from spane_rllib.core.plotting import HEURISTIC_COLOUR, policy_panels

_BOUND_COLOUR = "black"
_LINEAR_BELOW_S = 1000.0


def wait_distribution(
    episodes: pd.DataFrame, summary: pd.DataFrame, colours: Mapping[str, str | None], legend: list[Patch]
) -> Figure:
    """Quantiles of the total wait per policy and of the lower bound, and the share of episodes without wait.

    `colours` holds the colour of each learned policy and None for heuristics; policies come in the order of
    `summary`.
    """
    figure, filled = policy_panels(summary, "servers", extra_rows=1, text="{} servers")
    for axis, group in filled:
        of_servers = episodes[episodes["servers"] == group["servers"].iloc[0]]
        waits = dict(list(of_servers.groupby("policy")["total_wait_s"]))
        rows = [(waits[policy], colours[policy] or HEURISTIC_COLOUR) for policy in group["policy"]]
        # Every policy plays the same episodes; each has one bound.
        rows.append((of_servers.drop_duplicates("start")["lower_bound_s"], _BOUND_COLOUR))
        for row, (values, colour) in enumerate(rows):
            low, lower, median, upper, high = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95))
            axis.hlines(row, low, high, color=colour, linewidth=1)
            axis.hlines(row, lower, upper, color=colour, linewidth=6)
            axis.plot(median, row, "o", color="white", markersize=3.5, markeredgecolor="black", zorder=3)
            zero = f"{(values == 0).mean():.0%}"
            axis.text(1.02, row, zero, transform=axis.get_yaxis_transform(), va="center", fontsize="small")
        axis.text(1.02, -1, "zero", transform=axis.get_yaxis_transform(), va="center", fontsize="small")
        axis.set_yticks(range(len(rows)), [*group["policy"], "lower bound"])
        axis.set_xscale("symlog", linthresh=_LINEAR_BELOW_S)
        longest = max(axis.dataLim.x1, _LINEAR_BELOW_S)
        decades = np.arange(math.log10(_LINEAR_BELOW_S), math.ceil(math.log10(longest)) + 1)
        axis.set_xticks([0, *10**decades])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlim(left=-0.1 * _LINEAR_BELOW_S)
        axis.set_xlabel("total wait of an episode, s")
    handles = [
        *legend,
        Patch(color=_BOUND_COLOUR, label="lower bound"),
        Line2D([], [], color="0.3", linewidth=1, label="5% to 95%"),
        Line2D([], [], color="0.3", linewidth=6, label="25% to 75%"),
        Line2D([], [], color="white", marker="o", markeredgecolor="black", markersize=3.5, label="median"),
        Line2D([], [], linestyle="", label="zero: episodes\nwithout any wait"),
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    return figure


def trimmed_means(
    summary: pd.DataFrame,
    colours: Mapping[str, str | None],
    legend: list[Patch],
    intervals: Mapping[tuple[str, int], tuple[float, float]],
) -> Figure:
    """The 10% trimmed mean of the total wait per policy beside that of the lower bound.

    `intervals` by policy and servers are drawn as error bars, where they are known.
    """
    figure, filled = policy_panels(summary, "servers", text="{} servers")
    for axis, group in filled:
        waits = group["trimmed_mean_10_s"]
        # One policy far off (often `random`) must not squeeze the others: its bar leaves the axis.
        limit = 1.25 * min(waits.max(), 3 * waits.median()) or 1.0
        shades = [colours[policy] or HEURISTIC_COLOUR for policy in group["policy"]]
        axis.barh(range(len(group)), waits, color=shades, height=0.7)
        servers = int(group["servers"].iloc[0])
        for row, (policy, wait) in enumerate(zip(group["policy"], waits, strict=True)):
            low, high = intervals.get((policy, servers), (math.nan, math.nan))
            if math.isfinite(low):
                axis.hlines(row, low, min(high, limit), color="0.25", linewidth=1)
                ends = [end for end in (low, high) if end <= limit]
                axis.plot(ends, [row] * len(ends), "|", color="0.25", markersize=5)
            text = f" {wait:,.0f}" if wait <= limit else f"{wait:,.0f} > "
            inside = {"x": limit, "ha": "right", "color": "white"} if wait > limit else {"x": wait}
            above = "bottom" if math.isfinite(low) else "center"
            axis.text(y=row, s=text, va=above, fontsize="small", **inside)
        axis.axvline(group["lower_bound_trimmed_mean_10_s"].iloc[0], color=_BOUND_COLOUR, linestyle="--")
        axis.set_xlim(0, limit)
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.locator_params(axis="x", nbins=5)
        axis.set_xlabel("total wait of an episode, 10% trimmed mean, s")
    handles = [*legend, Line2D([], [], color=_BOUND_COLOUR, linestyle="--", label="lower bound")]
    if any(math.isfinite(low) for low, _ in intervals.values()):
        handles.append(Line2D([], [], color="0.25", linewidth=1, marker="|", label="95% interval"))
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    return figure

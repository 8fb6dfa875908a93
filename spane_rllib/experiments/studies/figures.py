"""Figures of a study, drawn from its tables."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator

from spane_rllib.core.plotting import HEURISTIC_COLOUR, PALETTE, panels, save
from spane_rllib.problems.vm_scheduling.waits.figures import policy_panels

_SHOWN = "trimmed_mean_10_s"
_OTHER_COLOUR = "0.2"


def draw_figures(
    directory: Path, summary: pd.DataFrame, groups: pd.DataFrame, comparisons: pd.DataFrame
) -> list[Path]:
    """Draw `trimmed_means.png`, `differences.png` and, for several cluster sizes, `over_servers.png`.

    The tables are those of `study_tables`. Returns the files written into `directory`, made if absent.
    """
    colours = dict(zip(groups["group"].unique(), cycle(PALETTE)))
    colours |= {"heuristic": HEURISTIC_COLOUR, "": _OTHER_COLOUR}
    figures = {"trimmed_means": _bars(summary, colours)}
    if len(comparisons):
        figures["differences"] = _differences(summary, comparisons, colours)
    if summary["servers"].nunique() > 1 and (summary["group"] == "heuristic").any():
        figures["over_servers"] = _over_servers(summary, groups, colours)
    return [save(figure, directory / f"{name}.png") for name, figure in figures.items()]


def _legend(figure: Figure, summary: pd.DataFrame, colours: Mapping[str, str], *extra: Line2D) -> None:
    shown = summary["group"].unique()
    patches = [
        Patch(color=colour, label=name or "other") for name, colour in colours.items() if name in shown
    ]
    figure.legend(handles=[*patches, *extra], loc="outside right upper", frameon=False)


def _bars(summary: pd.DataFrame, colours: Mapping[str, str]) -> Figure:
    figure, filled = policy_panels(summary.sort_values(_SHOWN, kind="stable"), extra_rows=0)
    for axis, group in filled:
        rows = range(len(group))
        axis.barh(rows, group[_SHOWN], color=group["group"].map(colours), height=0.7)
        axis.hlines(rows, group[f"{_SHOWN}_low"], group[f"{_SHOWN}_high"], color="black", linewidth=1)
        axis.axvline(group["lower_bound_trimmed_mean_10_s"].iloc[0], color="black", linestyle="--")
        _seconds_axis(axis, "total wait of an episode, 10% trimmed mean, s")
    bound = Line2D([], [], color="black", linestyle="--", label="lower bound")
    span = Line2D([], [], color="black", linewidth=1, label="95% interval")
    _legend(figure, summary, colours, bound, span)
    return figure


def _differences(summary: pd.DataFrame, comparisons: pd.DataFrame, colours: Mapping[str, str]) -> Figure:
    shown = comparisons[comparisons["statistic"] == _SHOWN].sort_values("difference", kind="stable")
    group_of = dict(zip(summary["policy"], summary["group"], strict=True))
    figure, filled = policy_panels(shown.assign(policy=shown["b"]), extra_rows=0)
    for axis, group in filled:
        shades = group["b"].map(group_of).map(colours)
        rows = range(len(group))
        axis.hlines(rows, group["difference_low"], group["difference_high"], color=shades, linewidth=2)
        axis.scatter(group["difference"], rows, color=shades, s=20, zorder=3)
        axis.axvline(0, color="black", linewidth=0.8)
        _seconds_axis(axis, f"10% trimmed mean minus that of {shown['a'].iloc[0]}, s")
    _legend(figure, summary, colours, Line2D([], [], color="0.3", linewidth=2, label="95% interval"))
    return figure


def _over_servers(summary: pd.DataFrame, groups: pd.DataFrame, colours: Mapping[str, str]) -> Figure:
    """Waits over the best heuristic's on as many servers: every model a dot, the mean of a group a line."""
    heuristics = summary[summary["group"] == "heuristic"]
    best = heuristics.groupby("servers")[_SHOWN].min()
    best = best[best > 0]
    figure, [axis] = panels(1, 1, 7.0, 4.2)
    for _, curve in heuristics.groupby("policy"):
        _relative(axis, curve, best, color=HEURISTIC_COLOUR, linewidth=0.7, alpha=0.6)
    models = summary[summary["group"] != "heuristic"]
    shown = dict(list(models.groupby("group", sort=False)))
    # Side by side, so that the seeds of one group do not hide those of another.
    for offset, (name, dots) in zip(
        0.08 * (np.arange(len(shown)) - (len(shown) - 1) / 2), shown.items(), strict=True
    ):
        _relative(axis, dots, best, offset, color=colours[name], marker=".", linestyle="", alpha=0.6)
    for name, curve in groups[groups["selection"] == "all"].groupby("group", sort=False):
        _relative(axis, curve, best, color=colours[name], linewidth=2, marker="D", markersize=4)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 5, 7)))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_xticks(sorted(summary["servers"].unique()))
    axis.set_xlabel("servers")
    axis.set_ylabel("10% trimmed mean / best heuristic's")
    _legend(
        figure,
        summary,
        colours,
        Line2D([], [], color="0.3", linewidth=2, marker="D", markersize=4, label="mean of a group"),
    )
    return figure


def _relative(axis: Axes, rows: pd.DataFrame, best: pd.Series, offset: float = 0.0, **style: Any) -> None:
    rows = rows[rows["servers"].isin(best.index)].sort_values("servers", kind="stable")
    axis.plot(rows["servers"] + offset, np.asarray(rows[_SHOWN]) / best[rows["servers"]].to_numpy(), **style)


def _seconds_axis(axis: Axes, label: str) -> None:
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.locator_params(axis="x", nbins=5)
    axis.set_xlabel(label)

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

from spane_rllib.core.plotting import HEURISTIC_COLOUR, PALETTE, panels, policy_panels, save
from spane_rllib.problems.problem import Problem

_OTHER_COLOUR = "0.2"


def draw_figures(
    problem: Problem, directory: Path, summary: pd.DataFrame, groups: pd.DataFrame, comparisons: pd.DataFrame
) -> list[Path]:
    """Draw the headlines, `differences.png` and, for several cases that are numbers, `over_<case>.png`.

    The tables are those of `tables`. Returns the files written into `directory`, made if absent.
    """
    colours = dict(zip(groups["group"].unique(), cycle(PALETTE)))
    colours |= {"heuristic": HEURISTIC_COLOUR, "": _OTHER_COLOUR}
    figures = {problem.statistics.figure: _headlines(problem, summary, colours)}
    if len(comparisons):
        figures["differences"] = _differences(problem, summary, comparisons, colours)
    cases = summary[problem.case]
    several = pd.api.types.is_numeric_dtype(cases) and cases.nunique() > 1
    if several and (summary["group"] == "heuristic").any():
        figures[f"over_{problem.case}"] = _over_cases(problem, summary, groups, colours)
    return [save(figure, directory / f"{name}.png") for name, figure in figures.items()]


def _legend(figure: Figure, summary: pd.DataFrame, colours: Mapping[str, str], *extra: Line2D) -> None:
    shown = summary["group"].unique()
    patches = [
        Patch(color=colour, label=name or "other") for name, colour in colours.items() if name in shown
    ]
    figure.legend(handles=[*patches, *extra], loc="outside right upper", frameon=False)


def _headlines(problem: Problem, summary: pd.DataFrame, colours: Mapping[str, str]) -> Figure:
    statistics = problem.statistics
    shown = statistics.headline
    ordered = summary.sort_values(shown, ascending=statistics.better == "less", kind="stable")
    figure, filled = policy_panels(ordered, problem.case, text=problem.case_text)
    extra = [Line2D([], [], color="black", linewidth=1, label="95% interval")]
    for axis, group in filled:
        rows = range(len(group))
        axis.barh(rows, group[shown], color=group["group"].map(colours), height=0.7)
        axis.hlines(rows, group[f"{shown}_low"], group[f"{shown}_high"], color="black", linewidth=1)
        if statistics.bound:
            axis.axvline(group[statistics.bound].iloc[0], color="black", linestyle="--")
        _value_axis(axis, f"{statistics.value_title or statistics.value}: {statistics.by_name[shown].name}")
    if statistics.bound:
        side = "lower" if statistics.better == "less" else "upper"
        extra.insert(0, Line2D([], [], color="black", linestyle="--", label=f"{side} bound"))
    _legend(figure, summary, colours, *extra)
    return figure


def _differences(
    problem: Problem, summary: pd.DataFrame, comparisons: pd.DataFrame, colours: Mapping[str, str]
) -> Figure:
    statistics = problem.statistics
    shown = comparisons[comparisons["statistic"] == statistics.headline].sort_values(
        "difference", ascending=statistics.better == "less", kind="stable"
    )
    group_of = dict(zip(summary["policy"], summary["group"], strict=True))
    figure, filled = policy_panels(shown.assign(policy=shown["b"]), problem.case, text=problem.case_text)
    for axis, group in filled:
        shades = group["b"].map(group_of).map(colours)
        rows = range(len(group))
        axis.hlines(rows, group["difference_low"], group["difference_high"], color=shades, linewidth=2)
        axis.scatter(group["difference"], rows, color=shades, s=20, zorder=3)
        axis.axvline(0, color="black", linewidth=0.8)
        title = statistics.by_name[statistics.headline].title
        _value_axis(axis, f"{title}, minus that of {shown['a'].iloc[0]}")
    _legend(figure, summary, colours, Line2D([], [], color="0.3", linewidth=2, label="95% interval"))
    return figure


def _over_cases(
    problem: Problem, summary: pd.DataFrame, groups: pd.DataFrame, colours: Mapping[str, str]
) -> Figure:
    """Headlines over the best heuristic's on the same case: a model is a dot, the mean of a group a line."""
    statistics, case = problem.statistics, problem.case
    heuristics = summary[summary["group"] == "heuristic"]
    by_case = heuristics.groupby(case)[statistics.headline]
    best = by_case.min() if statistics.better == "less" else by_case.max()
    best = best[best > 0]
    figure, [axis] = panels(1, 1, 7.0, 4.2)

    def draw(rows: pd.DataFrame, offset: float = 0.0, **style: Any) -> None:
        rows = rows[rows[case].isin(best.index)].sort_values(case, kind="stable")
        ratios = np.asarray(rows[statistics.headline]) / best[rows[case]].to_numpy()
        axis.plot(rows[case] + offset, ratios, **style)

    for _, curve in heuristics.groupby("policy"):
        draw(curve, color=HEURISTIC_COLOUR, linewidth=0.7, alpha=0.6)
    models = summary[summary["group"] != "heuristic"]
    shown = dict(list(models.groupby("group", sort=False)))
    # Side by side, so that the seeds of one group do not hide those of another.
    for offset, (name, dots) in zip(
        0.08 * (np.arange(len(shown)) - (len(shown) - 1) / 2), shown.items(), strict=True
    ):
        draw(dots, offset, color=colours[name], marker=".", linestyle="", alpha=0.6)
    for name, curve in groups[groups["selection"] == "all"].groupby("group", sort=False):
        draw(curve, color=colours[name], linewidth=2, marker="D", markersize=4)
    axis.axhline(1, color="black", linewidth=0.8)
    if problem.measure.logarithmic:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 5, 7)))
        axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_xticks(sorted(summary[case].unique()))
    axis.set_xlabel(case)
    axis.set_ylabel(f"{statistics.by_name[statistics.headline].name} / best heuristic's")
    mean = Line2D([], [], color="0.3", linewidth=2, marker="D", markersize=4, label="mean of a group")
    _legend(figure, summary, colours, mean)
    return figure


def _value_axis(axis: Axes, label: str) -> None:
    axis.xaxis.set_major_formatter("{x:,g}")
    axis.locator_params(axis="x", nbins=5)
    axis.set_xlabel(label)

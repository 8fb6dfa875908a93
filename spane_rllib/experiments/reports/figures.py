"""Figures of an experiment, drawn without a display and without Ray."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import cycle
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from spane_rllib.core.plotting import HEURISTIC_COLOUR, PALETTE, log_scale_y, panels
from spane_rllib.problems.measures import Measure

_MOST_BOXES = 8
_BASELINE_STYLES: tuple[Any, ...] = (":", "-.", (0, (1, 4)))  # as many baselines are shown


def experiment_figures(
    measure: Measure,
    trials: pd.DataFrame,
    curves: pd.DataFrame,
    baselines: Mapping[str, float] = MappingProxyType({}),
) -> Iterator[tuple[str, Figure]]:
    """What the tables have data for: `hyperparameters_<method>` and `training_curves`.

    Args:
        measure: what validation measures.
        trials: one row per trial with the columns `method`, `trial`, `rank`, `best_<measure.column>` and the
            hyper-parameters, `options.<name>` and `training.<name>`.
        curves: one row per validation with the columns `trial`, `method`, `gradient_steps` and
            `measure.column`.
        baselines: what they come to on the same validation episodes, by name.
    """
    for method, colour in zip(trials["method"].unique(), cycle(PALETTE)):
        group = trials[trials["method"] == method]
        group = group[np.isfinite(group[f"best_{measure.column}"].astype(float))]
        searched = _searched(group)
        if searched:
            yield f"hyperparameters_{method}", _hyperparameters(measure, method, group, searched, colour)
    if len(curves) and np.isfinite(curves[measure.column]).any():
        yield "training_curves", training_curves_figure(measure, trials, curves, baselines)


def _searched(trials: pd.DataFrame) -> list[str]:
    """The hyper-parameters with more than one value; a missing value, as of an unset option, is one."""
    columns = [name for name in trials.columns if name.startswith(("options.", "training."))]
    return [name for name in columns if trials[name].nunique(dropna=False) > 1]


def _hyperparameters(
    measure: Measure, method: str, trials: pd.DataFrame, searched: list[str], colour: str
) -> Figure:
    figure, axes = panels(len(searched), 3, 3.6, 2.8, share_y=True)
    best = trials[f"best_{measure.column}"]
    for axis, name in zip(axes, searched, strict=True):
        # A table put together from trials may hold numbers as objects.
        values = trials[name].infer_objects()
        if _continuous(values):
            _scatter(axis, values, best, colour)
        else:
            _boxes(axis, values, best, colour)
        axis.set_xlabel(name)
        if measure.logarithmic:
            log_scale_y(axis, best)
    figure.supylabel(f"best {measure.title}", fontsize="medium")
    figure.suptitle(f"{method}: {len(trials):,} trials; line: median")
    return figure


def _continuous(values: pd.Series) -> bool:
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values) or values.hasnans:
        return False
    return values.nunique() > min(_MOST_BOXES, len(values) / 2)


def _scatter(axis: Axes, values: pd.Series, best: pd.Series, colour: str) -> None:
    axis.scatter(values, best, s=12, color=colour, alpha=0.5, linewidths=0)
    if values.min() > 0 and values.max() / values.min() >= 20:
        axis.set_xscale("log")
        # Labels of ticks between the powers of ten would lie over each other.
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.xaxis.set_major_locator(LogLocator(numticks=5))
    else:
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.xaxis.set_major_formatter("{x:,.6g}")
    # Bins of equal numbers of trials, at least five in each, so that a median means something.
    bins = pd.qcut(values, max(1, min(8, len(values) // 5)), duplicates="drop")
    grouped = pd.DataFrame({"value": values, "best": best}).groupby(bins, observed=True).median()
    if len(grouped) == 1:  # the median of all, as a line that can be seen
        axis.plot([values.min(), values.max()], [best.median()] * 2, color="black", linewidth=1.5)
    else:
        axis.plot(grouped["value"], grouped["best"], color="black", linewidth=1.5)


def _boxes(axis: Axes, values: pd.Series, best: pd.Series, colour: str) -> None:
    groups = [(_value_text(value), best[values == value]) for value in sorted(values.dropna().unique())]
    if values.isna().any():
        groups.append(("none", best[values.isna()]))
    labels = [label for label, _ in groups]
    axis.boxplot(
        [group.to_numpy() for _, group in groups],
        widths=0.6,
        showfliers=False,
        medianprops={"color": "black", "linewidth": 1.5},
    )
    for position, (_, group) in enumerate(groups, start=1):
        spread = np.linspace(-0.2, 0.2, len(group)) if len(group) > 1 else np.zeros(1)
        axis.scatter(position + spread, group, s=12, color=colour, alpha=0.5, linewidths=0)
    slanted = sum(map(len, labels)) > 24
    axis.set_xticks(
        range(1, len(labels) + 1), labels, rotation=30 if slanted else 0, ha="right" if slanted else "center"
    )


def _value_text(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def training_curves_figure(
    measure: Measure, trials: pd.DataFrame, curves: pd.DataFrame, baselines: Mapping[str, float]
) -> Figure:
    """The validations of every trial over its gradient steps beside the best baselines, a panel a method."""
    ordered = sorted(baselines, key=baselines.__getitem__, reverse=measure.better == "more")
    references = list(zip(ordered, _BASELINE_STYLES, strict=False))
    best = set(trials.loc[trials["rank"] == 1, "trial"])
    methods = dict(zip(trials["method"].unique(), cycle(PALETTE)))
    curves = curves[np.isfinite(curves[measure.column])]
    shown = curves["method"].unique()
    figure, axes = panels(len(shown), 3, 3.8, 3.6, share_y=True)
    for axis, method in zip(axes, shown, strict=True):
        group = curves[curves["method"] == method].sort_values("gradient_steps")
        trials = dict(list(group.groupby("trial")))
        for name, curve in trials.items():
            [line] = axis.plot(curve["gradient_steps"], curve[measure.column], color=methods.get(method))
            if name in best:
                line.set(linewidth=1.8, zorder=3)
            else:
                line.set(linewidth=0.7, alpha=max(0.15, 1 / math.sqrt(len(trials))))
            if len(curve) == 1:
                line.set_marker(".")  # a line does not show a single point
        median = group.groupby("gradient_steps")[measure.column].median()
        axis.plot(median.index, median, color="black", linewidth=1.4, linestyle="--", zorder=4)
        for name, style in references:
            axis.axhline(baselines[name], color=HEURISTIC_COLOUR, linewidth=1.2, linestyle=style, zorder=1)
        axis.set(title=f"{method} ({len(trials):,} trials)", xlabel="gradient steps")
        if measure.logarithmic:
            log_scale_y(axis, curves[measure.column])
    axes[0].set_ylabel(measure.title)
    legend = [
        Line2D([], [], color="0.3", linewidth=0.7, label="trial"),
        Line2D([], [], color="0.3", linewidth=1.8, label="best trial"),
        Line2D([], [], color="black", linewidth=1.4, linestyle="--", label="median of trials"),
        *(
            Line2D([], [], color=HEURISTIC_COLOUR, linewidth=1.2, linestyle=style, label=name)
            for name, style in references
        ),
    ]
    figure.legend(handles=legend, loc="outside right upper", frameon=False)
    return figure

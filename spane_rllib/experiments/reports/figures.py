"""Figures of an experiment, drawn to PNG files without a display and without Ray."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from spane_rllib.core.plotting import HEURISTIC_COLOUR, PALETTE, log_scale_y, panels, save
from spane_rllib.experiments.results.measures import WAITS, measure_in
from spane_rllib.problems.vm_scheduling.waits.evaluation import summarize
from spane_rllib.problems.vm_scheduling.waits.figures import trimmed_means, wait_distribution

_MOST_BOXES = 8


def draw_figures(
    directory: Path, trials: pd.DataFrame, curves: pd.DataFrame, episodes: pd.DataFrame
) -> list[Path]:
    """Draw what the tables have data for; returns the files written into `directory`.

    Args:
        directory: receives `hyperparameters_<method>.png`, `training_curves.png`, `wait_distribution.png`
            and `trimmed_means.png`; made if absent.
        trials: one row per trial with the columns `method`, `trial`, `rank`, `best_validation_wait_s` and
            the hyper-parameters, `options.<name>` and `training.<name>`.
        curves: one row per validation with the columns `trial`, `method`, `gradient_steps` and
            `validation_wait_s`.
        episodes: the evaluated episodes, `vm_scheduling.evaluation.EPISODE_COLUMNS`; learned policies are
            named after their trial.

    Raises:
        UserError: a file cannot be written.
    """
    written = []
    for name, figure in _figures(trials, curves, episodes):
        written.append(save(figure, directory / f"{name}.png"))
    return written


def _figures(
    trials: pd.DataFrame, curves: pd.DataFrame, episodes: pd.DataFrame
) -> Iterator[tuple[str, Figure]]:
    methods = dict(zip(trials["method"].unique(), cycle(PALETTE)))
    for method, colour in methods.items():
        group = trials[trials["method"] == method]
        group = group[np.isfinite(group["best_validation_wait_s"])]
        searched = _searched(group)
        if searched:
            yield f"hyperparameters_{method}", _hyperparameters(method, group, searched, colour)
    if len(curves) and np.isfinite(curves["validation_wait_s"]).any():
        yield "training_curves", training_curves_figure(trials, curves)
    if len(episodes):
        method_of = dict(zip(trials["trial"], trials["method"], strict=True))
        colours = {policy: methods.get(method_of.get(policy)) for policy in episodes["policy"].unique()}
        summary = summarize(episodes).sort_values("trimmed_mean_10_s", kind="stable")
        legend = [Patch(color=colour, label=method) for method, colour in methods.items()]
        legend.append(Patch(color=HEURISTIC_COLOUR, label="heuristic"))
        yield "wait_distribution", wait_distribution(episodes, summary, colours, legend)
        yield "trimmed_means", trimmed_means(summary, colours, legend)


def _searched(trials: pd.DataFrame) -> list[str]:
    """The hyper-parameters with more than one value; a missing value, as of an unset option, is one."""
    columns = [name for name in trials.columns if name.startswith(("options.", "training."))]
    return [name for name in columns if trials[name].nunique(dropna=False) > 1]


def _hyperparameters(method: str, trials: pd.DataFrame, searched: list[str], colour: str) -> Figure:
    figure, axes = panels(len(searched), 3, 3.6, 2.8, share_y=True)
    wait = trials["best_validation_wait_s"]
    for axis, name in zip(axes, searched, strict=True):
        # A table put together from trials may hold numbers as objects.
        values = trials[name].infer_objects()
        if _continuous(values):
            _scatter(axis, values, wait, colour)
        else:
            _boxes(axis, values, wait, colour)
        axis.set_xlabel(name)
        log_scale_y(axis, wait)
    figure.supylabel("best validation wait, s", fontsize="medium")
    figure.suptitle(f"{method}: {len(trials):,} trials; line: median")
    return figure


def _continuous(values: pd.Series) -> bool:
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values) or values.hasnans:
        return False
    return values.nunique() > min(_MOST_BOXES, len(values) / 2)


def _scatter(axis: Axes, values: pd.Series, wait: pd.Series, colour: str) -> None:
    axis.scatter(values, wait, s=12, color=colour, alpha=0.5, linewidths=0)
    if values.min() > 0 and values.max() / values.min() >= 20:
        axis.set_xscale("log")
    # Bins of equal numbers of trials, at least five in each, so that a median means something.
    bins = pd.qcut(values, max(1, min(8, len(values) // 5)), duplicates="drop")
    grouped = pd.DataFrame({"value": values, "wait": wait}).groupby(bins, observed=True).median()
    axis.plot(grouped["value"], grouped["wait"], color="black", linewidth=1.5)


def _boxes(axis: Axes, values: pd.Series, wait: pd.Series, colour: str) -> None:
    groups = [(_value_text(value), wait[values == value]) for value in sorted(values.dropna().unique())]
    if values.isna().any():
        groups.append(("none", wait[values.isna()]))
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


def training_curves_figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """The validations of every trial over its gradient steps, a panel for each method."""
    measure = measure_in(curves)
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
        axis.set(title=f"{method} ({len(trials):,} trials)", xlabel="gradient steps")
        if measure == WAITS:
            log_scale_y(axis, curves[measure.column])
    axes[0].set_ylabel(measure.title)
    legend = [
        Line2D([], [], color="0.3", linewidth=0.7, label="trial"),
        Line2D([], [], color="0.3", linewidth=1.8, label="best trial"),
        Line2D([], [], color="black", linewidth=1.4, linestyle="--", label="median of trials"),
    ]
    figure.legend(handles=legend, loc="outside right upper", frameon=False)
    return figure

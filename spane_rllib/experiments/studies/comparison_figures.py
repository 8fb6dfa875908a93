"""The figure of a comparison of two policies."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from spane_rllib.core.bootstrap import Numbers, interval
from spane_rllib.core.plotting import PALETTE, panels
from spane_rllib.experiments.studies.comparison import Estimate
from spane_rllib.problems.problem import Problem


def comparison_figure(problem: Problem, a: Estimate, b: Estimate) -> Figure:
    """The distribution of the difference per episode, and the statistics of both with their intervals."""
    statistics = problem.statistics
    shown = statistics.beside_headline
    figure, (differences, bars) = panels(2, 2, 5.2, 3.4)
    _distribution(differences, np.sort(b.values - a.values), problem.measure.logarithmic)
    ahead = "right" if statistics.better == "less" else "left"
    differences.set_xlabel(f"B - A per episode ({ahead} of 0: A {statistics.verbs[0]})")
    for offset, colour, one, label in ((-0.2, PALETTE[0], a, "A"), (0.2, PALETTE[1], b, "B")):
        values = np.array([one.statistics[name][0] for name in shown])
        rows = np.arange(len(shown)) + offset
        bars.barh(rows, values, height=0.36, color=colour, label=f"{label}: {one.policy}")
        low, high = np.array([interval(one.statistics[name]) for name in shown]).T
        bars.hlines(rows, low, high, color="black", linewidth=1.2, zorder=3)
    bars.set_yticks(range(len(shown)), [statistics.by_name[name].name for name in shown])
    bars.invert_yaxis()
    bars.xaxis.set_major_formatter("{x:,g}")
    bars.locator_params(axis="x", nbins=4)
    bars.set_xlabel(f"{statistics.value_title or statistics.value}; line: 95% interval")
    bars.legend(frameon=False, fontsize="small")
    title = f"{problem.case_text.format(a.case)}, {len(a.values):,} episodes"
    figure.suptitle(title, fontsize="medium")
    return figure


def _distribution(axis: Axes, differences: Numbers, logarithmic: bool) -> None:
    axis.step(differences, np.arange(1, len(differences) + 1) / len(differences), where="post", color="0.2")
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_ylim(0, 1)
    axis.set_ylabel("share of episodes")
    sizes = np.abs(differences[differences != 0])
    if logarithmic and len(sizes):
        # Linear below what few differences are below.
        first, last = np.floor(np.log10(np.quantile(sizes, 0.1))), np.ceil(np.log10(sizes.max()))
        axis.set_xscale("symlog", linthresh=10.0**first)
        decades = 10.0 ** np.arange(first, last + 1, 2)
        axis.set_xticks([*-decades[::-1], 0, *decades])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlim(-1.2 * max(sizes.max(), decades[0]), 1.2 * max(sizes.max(), decades[0]))

"""The figure of a comparison of two policies."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from spane_rllib.core.bootstrap import Numbers, interval
from spane_rllib.core.plotting import PALETTE, panels
from spane_rllib.problems.vm_scheduling.waits.comparison import Estimate
from spane_rllib.problems.vm_scheduling.waits.statistics import STATISTICS

_SHOWN = ("trimmed_mean_05_s", "trimmed_mean_10_s", "trimmed_mean_20_s", "mean_s", "median_s")
_LINEAR_BELOW_S = 100.0


def comparison_figure(a: Estimate, b: Estimate) -> Figure:
    """The distribution of the difference per episode, and the statistics of both with their intervals."""
    figure, (differences, bars) = panels(2, 2, 5.2, 3.4)
    _distribution(differences, np.sort(b.waits - a.waits))
    for offset, colour, one, label in ((-0.2, PALETTE[0], a, "A"), (0.2, PALETTE[1], b, "B")):
        values = np.array([one.statistics[name][0] for name in _SHOWN])
        rows = np.arange(len(_SHOWN)) + offset
        bars.barh(rows, values, height=0.36, color=colour, label=f"{label}: {one.policy}")
        low, high = np.array([interval(one.statistics[name]) for name in _SHOWN]).T
        bars.hlines(rows, low, high, color="black", linewidth=1.2, zorder=3)
    bars.set_yticks(range(len(_SHOWN)), [STATISTICS[name].removesuffix(", s") for name in _SHOWN])
    bars.invert_yaxis()
    bars.xaxis.set_major_formatter("{x:,.0f}")
    bars.locator_params(axis="x", nbins=4)
    bars.set_xlabel("total wait of an episode, s; line: 95% interval")
    bars.legend(frameon=False, fontsize="small")
    figure.suptitle(f"{a.servers} servers, {len(a.waits):,} episodes", fontsize="medium")
    return figure


def _distribution(axis: Axes, differences: Numbers) -> None:
    axis.step(differences, np.arange(1, len(differences) + 1) / len(differences), where="post", color="0.2")
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_xscale("symlog", linthresh=_LINEAR_BELOW_S)
    largest = max(np.abs(differences).max(), _LINEAR_BELOW_S)
    decades = 10.0 ** np.arange(np.log10(_LINEAR_BELOW_S), np.ceil(np.log10(largest)) + 1, 2)
    axis.set_xticks([*-decades[::-1], 0, *decades])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlim(-1.2 * largest, 1.2 * largest)
    axis.set_ylim(0, 1)
    axis.set_xlabel("B - A per episode, s (right of 0: A waits less)")
    axis.set_ylabel("share of episodes")

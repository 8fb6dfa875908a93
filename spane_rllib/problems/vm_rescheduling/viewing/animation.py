"""Recorded plans as figures that can be drawn after any migration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from spane_rllib.problems.vm_rescheduling.viewing.viewer import RecordedPlan

_NODE = 44
_COLOURS = {2: "#56b4e9", 4: "#0072b2", 8: "#009e73", 16: "#e69f00", 32: "#cc79a7"}
_OTHER, _ARROW = "#999999", "#d55e00"


class PlanAnimation:
    """One or two plans: the machines they touch as pairs of NUMA bars, and the fragment rate."""

    def __init__(self, recordings: Sequence[RecordedPlan]) -> None:
        from matplotlib.figure import Figure

        self.moments = list(range(max(len(recording.rates) for recording in recordings)))
        self.figure = Figure(figsize=(8 * len(recordings), 6.4), layout="constrained")
        axes = self.figure.subplots(2, len(recordings), squeeze=False, height_ratios=(3, 1))
        self._sides = [_Side(axes[0, at], axes[1, at], one) for at, one in enumerate(recordings)]

    def draw(self, moment: int) -> None:
        """Show what is where after `moment` migrations."""
        for side in self._sides:
            side.draw(moment)


class _Side:
    def __init__(self, bars: Any, rates: Any, recording: RecordedPlan) -> None:
        self._bars, self._rates, self._recording = bars, rates, recording

    def draw(self, moment: int) -> None:
        recording, bars, rates = self._recording, self._bars, self._rates
        moment = min(moment, len(recording.moves))
        places = [list(place) for place in recording.placement]
        before: list[int] = [0, 0]
        for vm, host, node in recording.moves[:moment]:
            before = places[vm]
            places[vm] = [host, node]
        bars.clear()
        filled = np.zeros((len(recording.hosts), 2))
        for vm, (host, node) in enumerate(places):
            cores = recording.cores[vm]
            for at in (0, 1) if node == 2 else (node,):
                colour = _COLOURS.get(cores, _OTHER)
                x = host + (at - 0.5) * 0.42
                bars.bar(x, cores, 0.38, filled[host, at], color=colour, edgecolor="white", linewidth=0.4)
                filled[host, at] += cores
        if moment:
            _, host, node = recording.moves[moment - 1]
            start, end = (place + (0.5 if at == 1 else -0.5) * 0.42 for place, at in (before, (host, node)))
            arrow = {"arrowstyle": "->", "color": _ARROW, "connectionstyle": "arc3,rad=-0.25", "lw": 2}
            bars.annotate("", (end, _NODE + 1), (start, _NODE + 1), arrowprops=arrow)
        bars.set(ylim=(0, _NODE + 12), xlabel="machine, a bar for each NUMA node", ylabel="cores in use")
        bars.set_title(f"{recording.policy}: {recording.mapping}, migration {moment}")
        rates.clear()
        rates.plot(range(len(recording.rates)), recording.rates, color="0.7")
        rates.plot(range(moment + 1), recording.rates[: moment + 1], color=_ARROW)
        rates.set(xlabel="migrations", ylabel=recording.objective, title=f"{recording.rates[moment]:.4f}")

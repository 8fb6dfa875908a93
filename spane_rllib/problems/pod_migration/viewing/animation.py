"""Recorded episodes as figures that can be drawn after any window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from spane_rllib.problems.pod_migration.viewing.viewer import RecordedEpisode

_FRAMES = 240
_CPU, _MEMORY = "#0072b2", "#e69f00"


class PodAnimation:
    """One or two episodes: the peaks of the nodes, and the violations so far."""

    def __init__(self, recordings: Sequence[RecordedEpisode]) -> None:
        from matplotlib.figure import Figure

        windows = len(recordings[0].windows)
        self.moments = np.unique(np.linspace(0, windows - 1, min(_FRAMES, windows)).astype(int)).tolist()
        self.figure = Figure(figsize=(6.4 * len(recordings), 4.8), layout="constrained")
        axes = self.figure.subplots(1, len(recordings), squeeze=False)[0]
        self._sides = [_Side(axis, one) for axis, one in zip(axes, recordings, strict=True)]
        self.changing = [artist for side in self._sides for artist in side.changing]

    def draw(self, moment: int) -> None:
        """Show window number `moment` of the episode."""
        for side in self._sides:
            side.draw(moment)


class _Side:
    def __init__(self, axis: Any, recording: RecordedEpisode) -> None:
        self._recording = recording
        self._violations = np.cumsum([window.violations for window in recording.windows])
        self._moves = np.cumsum([len(window.moves) for window in recording.windows])
        at, zeros = np.arange(len(recording.node_names)), np.zeros(len(recording.node_names))
        self._bars = [
            axis.bar(at + offset, zeros, 0.38, color=color, label=label)
            for offset, color, label in ((-0.2, _CPU, "CPU"), (0.2, _MEMORY, "memory"))
        ]
        limit = axis.axhline(100 * recording.overload, color="#c84e00", linewidth=0.8)
        axis.set(ylim=(0, 150), xlabel="node", ylabel="highest load of the window, %")
        legend = axis.legend(loc="upper right", ncols=2)
        self._title = axis.set_title("")
        self.changing = [*self._bars[0], *self._bars[1], limit, legend, self._title]

    def draw(self, moment: int) -> None:
        window = self._recording.windows[moment]
        for resource, bars in enumerate(self._bars):
            for bar, peak in zip(bars, window.peak, strict=True):
                bar.set_height(100 * peak[resource])
        self._title.set_text(
            f"{self._recording.policy}, window {moment + 1}: {self._violations[moment]} violations, "
            f"{self._moves[moment]} moves"
        )

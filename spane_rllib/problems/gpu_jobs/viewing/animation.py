"""Recorded schedules as figures that can be drawn at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.gpu_jobs.simulator.schedule import passed

if TYPE_CHECKING:
    from spane_rllib.problems.gpu_jobs.viewing.viewer import RecordedSchedule

_FRAMES, _COLUMNS, _ROWS = 240, 720, 160
_COLOURS = np.array(
    [(0xBD, 0xD7, 0xEE), (0x6A, 0xAE, 0xD8), (0x20, 0x70, 0xB4), (0x08, 0x45, 0x94), (0x08, 0x30, 0x6B)]
)
_GROUND = np.array((0xF2, 0xF4, 0xF7))
_WAIT = "#e69f00"


class ScheduleAnimation:
    """One or two schedules: which GPUs are held, in the colour of the priority, and how many jobs wait."""

    def __init__(self, recordings: Sequence[RecordedSchedule]) -> None:
        from matplotlib.figure import Figure

        begin = recordings[0].jobs.arrival[0]
        end = max(begin + 1, *(recording.end for recording in recordings))
        edges = np.linspace(begin, end, _COLUMNS + 1)
        self.moments = np.linspace(0, _COLUMNS, _FRAMES).astype(int).tolist()
        self.figure = Figure(figsize=(7.2 * len(recordings), 5.6), layout="constrained")
        axes = self.figure.subplots(2, len(recordings), squeeze=False, height_ratios=(3, 1), sharex="col")
        self._sides = [_Side(axes[:, at], one, edges) for at, one in enumerate(recordings)]
        most = max(float(side.waiting.max(initial=1)) for side in self._sides)
        for axis in axes[1]:
            axis.set_ylim(0, 1.05 * most)

    def draw(self, moment: int) -> None:
        """Show what has happened by the end of column `moment`."""
        for side in self._sides:
            side.draw(moment)


class _Side:
    def __init__(self, axes: Any, recording: RecordedSchedule, edges: npt.NDArray[np.float64]) -> None:
        gantt, queue = axes
        self._recording, self._edges = recording, edges
        self._pixels = held_pixels(recording, edges)
        self.waiting = waiting_at(recording, edges)
        days = (edges - edges[0]) / 86_400
        gpus = sum(number for _, number in recording.types)
        self._image = gantt.imshow(
            self._pixels, extent=(0, days[-1], gpus, 0), aspect="auto", interpolation="nearest"
        )
        counts = [number for _, number in recording.types]
        ends = np.cumsum(counts)
        for at in ends[:-1]:
            gantt.axhline(at, color="#8a95a1", linewidth=0.6)
        gantt.set_yticks(ends - np.array(counts) / 2, [name for name, _ in recording.types])
        self._line = queue.plot([], [], color=_WAIT)[0]
        queue.set(xlabel="days", ylabel="jobs that wait")
        self._days = days
        self._title = gantt.set_title("")
        self._done = np.sort(_completions(recording))

    def draw(self, moment: int) -> None:
        shown = self._pixels.copy()
        shown[:, moment:] = _GROUND
        self._image.set_data(shown)
        self._line.set_data(self._days[: moment + 1], self.waiting[: moment + 1])
        done = np.searchsorted(self._done, self._edges[moment], "right")
        self._title.set_text(
            f"{self._recording.policy}: {done:,} of {len(self._recording.jobs.number):,} completed, "
            f"{int(self.waiting[moment]):,} wait"
        )


def held_pixels(recording: RecordedSchedule, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """(rows, columns, 3) which GPUs are held between two `edges`, mixed by time and GPUs where needed.

    A row is a GPU, or several of them where there are more than fit.
    """
    jobs, runs = recording.jobs, recording.runs
    asked, job = np.array(jobs.gpus), np.array(runs.job, int)
    run = np.repeat(np.arange(len(job)), np.ceil(asked[job]).astype(int))
    gpus = sum(number for _, number in recording.types)
    rows = min(gpus, _ROWS)
    row = np.array(runs.gpus, int) * rows // gpus
    values, rank = np.unique(jobs.priority, return_inverse=True)
    bands = min(len(values), len(_COLOURS))
    band = (rank * bands // len(values))[job[run]]
    share = np.minimum(asked[job[run]], 1.0) * rows / gpus
    begin, finish = np.array(runs.start)[run], np.array(runs.finish)[run]
    pixels = np.empty((rows, len(edges) - 1, 3))
    for at in range(rows):
        covered = np.zeros((bands, len(edges) - 1))
        for of in range(bands):
            chosen = np.flatnonzero((row == at) & (band == of))
            covered[of] = np.diff(passed(begin[chosen], share[chosen], edges)) - np.diff(
                passed(finish[chosen], share[chosen], edges)
            )
        covered /= np.diff(edges)
        colours = _COLOURS[np.arange(bands) + (len(_COLOURS) - bands) // 2]
        free = np.clip(1 - covered.sum(axis=0), 0, 1)
        pixels[at] = covered.T @ colours + free[:, None] * _GROUND
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def waiting_at(recording: RecordedSchedule, times: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """How many jobs have arrived but do not run, at each of `times`."""
    jobs, runs = recording.jobs, recording.runs
    arrived = np.searchsorted(np.array(jobs.arrival), times, "right")
    started = np.searchsorted(np.array(runs.start), times, "right")
    # An end that does not complete the job puts it back into the queue.
    ended = np.searchsorted(np.sort(np.array(runs.finish)), times, "right")
    completed = np.searchsorted(np.sort(_completions(recording)), times, "right")
    cut = np.isin(runs.job, recording.unfinished) & (np.array(runs.finish) >= recording.end)
    at_end = np.where(times >= recording.end, int(cut.sum()), 0)
    return arrived - started + ended - completed - at_end


def _completions(recording: RecordedSchedule) -> npt.NDArray[np.float64]:
    """When jobs were completed."""
    last = np.full(len(recording.jobs.number), np.nan)
    last[recording.runs.job] = recording.runs.finish  # the later run of a job overwrites the earlier
    last[recording.unfinished] = np.nan
    return last[np.isfinite(last)]

"""Schedules as figures that can be drawn after any decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.vm_scheduling.recordings.schedule import Schedule

_FRAMES = 240
_MOST_BARS = 50
_CPU, _MEMORY = "#0072b2", "#e69f00"


class ScheduleAnimation:
    """One or two schedules: evenly spaced decisions, the same of both."""

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        from matplotlib.figure import Figure

        decisions = max(int((~schedule.events.departure).sum()) for schedule in schedules)
        self.moments = np.unique(np.linspace(0, decisions, min(_FRAMES, decisions + 1)).astype(int)).tolist()
        self.figure = Figure(figsize=(6.4 * len(schedules), 5.6), layout="constrained")
        columns = self.figure.subfigures(1, len(schedules), squeeze=False)[0]
        self._panels = [Panel(column, schedule) for column, schedule in zip(columns, schedules, strict=True)]

    def draw(self, moment: int) -> None:
        """Show the state after so many decisions."""
        for panel in self._panels:
            panel.draw(moment)


class Panel:
    """The servers and the load of one schedule, made once and moved from frame to frame."""

    def __init__(self, figure: Any, schedule: Schedule) -> None:
        self.schedule = schedule
        self.capacity = np.stack([schedule.servers.node_cpu, schedule.servers.node_memory])
        self.largest = self.capacity.max(axis=1, keepdims=True)
        self.count = self.capacity.shape[1]
        self.used = np.zeros((2, 2 * self.count))
        self.changes = schedule.node_changes()
        self.done = 0
        self.placements = np.flatnonzero(~schedule.events.departure)
        wait = schedule.wait[schedule.events.vm[self.placements]]
        self.total_wait = np.concatenate([[0.0], np.cumsum(wait)])
        servers, load = figure.subplots(2, 1, height_ratios=(3, 1))
        self.title = servers.set_title("")
        self.bars: list[Any] = []
        self.frames: list[Any] = []  # around what smaller servers hold
        if self.count <= _MOST_BARS:
            self._prepare_bars(servers)
        else:
            self._prepare_heatmap(servers)
        self._prepare_load(load)

    def _prepare_bars(self, axes: Any) -> None:
        at = np.arange(self.count)
        sizes = 100 * self.capacity / self.largest
        for offset, color, label, size in zip(
            (-0.2, 0.2), (_CPU, _MEMORY), ("CPU", "memory"), sizes, strict=True
        ):
            if (size < 100).any():
                frame = axes.bar(
                    at + offset, 2 * size, 0.38, -size, fill=False, edgecolor="#8a95a1", linewidth=0.8
                )
                self.frames.extend(zip(at, frame, strict=True))
            for node in (0, 1):
                name = label if node == 0 else None
                self.bars.append(axes.bar(at + offset, np.zeros(self.count), 0.38, color=color, label=name))
        axes.axhline(0, color="#5b6876", linewidth=0.8)
        axes.set(xlim=(-0.6, self.count - 0.4), ylim=(-100, 100), xlabel="server")
        axes.set_ylabel("node 1 (down) and node 0 (up), % in use")
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="upper right", ncols=2)

    def _prepare_heatmap(self, axes: Any) -> None:
        columns = int(np.ceil(np.sqrt(1.6 * self.count)))
        self.grid = np.full((-(-self.count // columns), columns), np.nan)
        self.image = axes.imshow(self.grid, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        axes.set_axis_off()
        axes.figure.colorbar(self.image, ax=axes, label="fuller of CPU and memory, % in use")

    def _prepare_load(self, axes: Any) -> None:
        self.load = np.full((2, len(self.placements) + 1), np.nan)
        at = np.arange(self.load.shape[1])
        self.lines = [
            axes.plot(at, row, color=color)[0] for row, color in zip(self.load, (_CPU, _MEMORY), strict=True)
        ]
        axes.set(xlim=(0, max(1, at[-1])), ylim=(0, 105), xlabel="decision", ylabel="load, %")

    def draw(self, decision: int) -> None:
        """Show the state after that many placements, or after the last one."""
        decision = min(decision, len(self.placements))
        time = self._advance(decision)
        active = self.schedule.servers.active_from <= time
        total = 2 * self.capacity[:, active].sum(axis=1)
        self.load[:, decision] = 100 * self.used.sum(axis=1) / total if decision else 0.0
        known = ~np.isnan(self.load[0])
        for line, row in zip(self.lines, self.load, strict=True):
            line.set_data(np.flatnonzero(known), row[known])
        used = 100 * self.used.reshape(2, self.count, 2)
        if self.bars:
            for server, frame in self.frames:
                frame.set_visible(active[server])
            share = used / self.largest[:, :, None]
            for index, bars in enumerate(self.bars):
                sign = -1 if index % 2 else 1
                for bar, height in zip(bars, sign * share[index // 2, :, index % 2], strict=True):
                    bar.set_height(height)
        else:
            share = (used / self.capacity[:, :, None]).max(axis=(0, 2))
            self.grid.flat[: self.count] = np.where(active, share, np.nan)
            self.image.set_data(self.grid)
        name, servers = self.schedule.policy[-40:], np.count_nonzero(active)
        self.title.set_text(
            f"{name}: decision {decision:,}, total wait {self.total_wait[decision]:,.0f} s"
            if not self.schedule.scenario
            else f"{name}: placed {decision:,}, servers {servers:,}"
        )

    def _advance(self, decision: int) -> float:
        """Apply the events up to the placement of that number; returns its time."""
        if not decision:
            return float(self.schedule.vms.arrival[0])
        last = self.placements[decision - 1]
        until = int(np.searchsorted(self.changes.event, last, side="right"))
        rows = slice(self.done, until)
        sizes: tuple[npt.NDArray[np.float64], ...] = (self.changes.cpu[rows], self.changes.memory[rows])
        for used, size in zip(self.used, sizes, strict=True):
            np.add.at(used, self.changes.slot[rows], size)
        self.done = max(self.done, until)
        return float(self.schedule.events.time[last])

"""Schedules as figures that can be drawn after any decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.vm_scheduling.recordings.schedule import Schedule
from spane_rllib.problems.vm_scheduling.viewing.panel import ServerPanel

_FRAMES = 240


class ScheduleAnimation:
    """One or two schedules: evenly spaced decisions, the same of both."""

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        from matplotlib.figure import Figure

        decisions = max(int((~schedule.events.departure).sum()) for schedule in schedules)
        self.moments = np.unique(np.linspace(0, decisions, min(_FRAMES, decisions + 1)).astype(int)).tolist()
        self.figure = Figure(figsize=(6.4 * len(schedules), 5.6), layout="constrained")
        columns = self.figure.subfigures(1, len(schedules), squeeze=False)[0]
        self._panels = [Panel(column, schedule) for column, schedule in zip(columns, schedules, strict=True)]
        self.changing = [artist for panel in self._panels for artist in panel.changing]

    def draw(self, moment: int) -> None:
        """Show the state after so many decisions."""
        for panel in self._panels:
            panel.draw(moment)


class Panel(ServerPanel):
    """The servers and the load of one schedule."""

    def __init__(self, figure: Any, schedule: Schedule) -> None:
        self.schedule = schedule
        self.changes = schedule.node_changes()
        self.placements = np.flatnonzero(~schedule.events.departure)
        wait = schedule.wait[schedule.events.vm[self.placements]]
        self.total_wait = np.concatenate([[0.0], np.cumsum(wait)])
        capacity = np.stack([schedule.servers.node_cpu, schedule.servers.node_memory])
        super().__init__(figure, capacity, schedule.servers.nodes, len(self.placements))
        self.used = np.zeros((2, 2 * self.count))
        self.done = 0

    def draw(self, decision: int) -> None:
        """Show the state after that many placements, or after the last one."""
        decision = min(decision, len(self.placements))
        time = self._go_to(decision)
        active = self.schedule.servers.active_from <= time
        name, servers = self.schedule.policy[-40:], np.count_nonzero(active)
        title = (
            f"{name}: decision {decision:,}, total wait {self.total_wait[decision]:,.0f} s"
            if not self.schedule.scenario
            else f"{name}: placed {decision:,}, servers {servers:,}"
        )
        self.show(decision, self.used.reshape(2, self.count, 2), active, title)

    def _go_to(self, decision: int) -> float:
        """Apply the events up to the placement of that number; returns its time."""
        last = self.placements[decision - 1] if decision else -1
        until = int(np.searchsorted(self.changes.event, last, side="right"))
        if until < self.done:  # back: from the beginning again
            self.used[:], self.done = 0.0, 0
        rows = slice(self.done, until)
        sizes: tuple[npt.NDArray[np.float64], ...] = (self.changes.cpu[rows], self.changes.memory[rows])
        for used, size in zip(self.used, sizes, strict=True):
            np.add.at(used, self.changes.slot[rows], size)
        self.done = until
        return float(self.schedule.events.time[last] if decision else self.schedule.vms.arrival[0])

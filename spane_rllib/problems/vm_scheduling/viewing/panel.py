"""Servers and load as one drawing, made once and moved from state to state."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_MOST_BARS = 50
_CPU, _MEMORY = "#0072b2", "#e69f00"

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class ServerPanel:
    """What is in use on every server, and the load of the cluster over decisions.

    Args:
        figure: a figure or subfigure of its own.
        capacity: (2, N) cores and GiB of a node of each server.
        nodes: (N,) NUMA nodes of each server, 1 or 2.
        decisions: how many there can be.
    """

    def __init__(self, figure: Any, capacity: Floats, nodes: Any, decisions: int) -> None:
        self.nodes = nodes
        self.capacity, self.count = capacity, capacity.shape[1]
        self.largest = capacity.max(axis=1, keepdims=True)
        servers, load = figure.subplots(2, 1, height_ratios=(3, 1))
        self.title = servers.set_title("")
        self.bars: list[Any] = []
        self.frames: list[Any] = []  # around what smaller servers hold
        self.changing: list[Any] = []
        """The artists that `show` changes; everything else stays."""
        if self.count <= _MOST_BARS:
            self._prepare_bars(servers)
        else:
            self._prepare_heatmap(servers)
        self._prepare_load(load, decisions)
        self.changing.append(self.title)

    def _prepare_bars(self, axes: Any) -> None:
        at = np.arange(self.count)
        sizes = 100 * self.capacity / self.largest
        for offset, color, label, size in zip(
            (-0.2, 0.2), (_CPU, _MEMORY), ("CPU", "memory"), sizes, strict=True
        ):
            for node in (0, 1):
                name = label if node == 0 else None
                bars = axes.bar(at + offset, np.zeros(self.count), 0.38, color=color, label=name)
                self.bars.append(bars)
                self.changing.extend(bars)
            if (size < 100).any() or (self.nodes < 2).any():
                frame = axes.bar(
                    at + offset,
                    self.nodes * size,
                    0.38,
                    (1 - self.nodes) * size,
                    fill=False,
                    edgecolor="#8a95a1",
                    linewidth=0.8,
                )
                self.frames.extend(zip(at, frame, strict=True))
                self.changing.extend(frame)
        self.changing.append(axes.axhline(0, color="#5b6876", linewidth=0.8))
        axes.set(xlim=(-0.6, self.count - 0.4), ylim=(-100, 100), xlabel="server")
        axes.set_ylabel("node 1 (down) and node 0 (up), % in use")
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
        axes.xaxis.get_major_locator().set_params(integer=True)
        self.changing.append(axes.legend(loc="upper right", ncols=2))

    def _prepare_heatmap(self, axes: Any) -> None:
        columns = int(np.ceil(np.sqrt(1.6 * self.count)))
        self.grid = np.full((-(-self.count // columns), columns), np.nan)
        self.image = axes.imshow(self.grid, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        axes.set_axis_off()
        axes.figure.colorbar(self.image, ax=axes, label="fuller of CPU and memory, % in use")
        self.changing.append(self.image)

    def _prepare_load(self, axes: Any, decisions: int) -> None:
        self.load = np.full((2, decisions + 1), np.nan)
        at = np.arange(self.load.shape[1])
        self.lines = [
            axes.plot(at, row, color=color)[0] for row, color in zip(self.load, (_CPU, _MEMORY), strict=True)
        ]
        self.changing.extend(self.lines)
        axes.set(xlim=(0, max(1, at[-1])), ylim=(0, 105), xlabel="decision", ylabel="load, %")

    def show(self, decision: int, used: Floats, active: Flags, title: str) -> None:
        """Show a state.

        Args:
            decision: decisions made so far; lines show the load of all that were shown up to this one.
            used: (2, N, 2) cores and GiB in use on every node of every server.
            active: (N,) the servers that are there.
            title: above it.
        """
        total = (self.nodes * self.capacity)[:, active].sum(axis=1)
        self.load[:, decision] = 100 * used.sum(axis=(1, 2)) / total if decision else 0.0
        known = np.flatnonzero(~np.isnan(self.load[0, : decision + 1]))
        for line, row in zip(self.lines, self.load, strict=True):
            line.set_data(known, row[known])
        if self.bars:
            for server, frame in self.frames:
                frame.set_visible(active[server])
            share = 100 * used / self.largest[:, :, None]
            for index, bars in enumerate(self.bars):
                sign = -1 if index % 2 else 1
                for bar, height in zip(bars, sign * share[index // 2, :, index % 2], strict=True):
                    bar.set_height(height)
        else:
            fuller = (100 * used / self.capacity[:, :, None]).max(axis=(0, 2))
            self.grid.flat[: self.count] = np.where(active, fuller, np.nan)
            self.image.set_data(self.grid)
        self.title.set_text(title)

"""A running episode as a picture: what `render()` of the environments returns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.vm_scheduling.instance import SlotInstance
from spane_rllib.problems.vm_scheduling.simulator import Lanes
from spane_rllib.problems.vm_scheduling.viewing.panel import ServerPanel


class LaneDrawing:
    """The drawing of one episode in lane 0.

    Noting a decision is cheap; matplotlib is asked for when a picture is.

    Args:
        instance: of the environment.
    """

    def __init__(self, instance: SlotInstance) -> None:
        self._instance = instance
        self._sizes = instance.node_sizes()  # (N, 2, 2)
        self._load: list[npt.NDArray[np.float64]] = []
        self._used = np.zeros((2, len(self._sizes), 2))
        self._active = np.zeros(len(self._sizes), bool)
        self._title = ""

    def note(self, lanes: Lanes) -> None:
        """Take over the state at a decision, or at the end."""
        (counters,), (clocks,) = lanes.state.counters.tolist(), lanes.state.clocks.tolist()
        info = self._instance.describe(counters, clocks)
        self._active = np.arange(len(self._sizes)) < info.get("servers", len(self._sizes))
        free = lanes.observations.servers[0, :, :, :2].astype(np.float64) * self._sizes.max(axis=(0, 1))
        used = (self._sizes - free) * self._active[:, None, None]
        self._used = used.transpose(2, 0, 1)
        total = self._sizes[self._active].sum(axis=(0, 1))
        self._load.append(self._used.sum(axis=(1, 2)) / total)
        self._title = (
            f"decision {info['placed']:,}, total wait {info['total_wait']:,.0f} s"
            if "placed" in info
            else f"placed {info['allocations']:,}, servers {info['servers']:,}"
        )

    def pixels(self) -> npt.NDArray[np.uint8]:
        """(560, 640, 3) the state that was noted last, with the load of all before."""
        from matplotlib.figure import Figure

        from spane_rllib.core.plotting import pixels

        figure = Figure(figsize=(6.4, 5.6), layout="constrained")
        decision = len(self._load) - 1
        nodes = np.count_nonzero(self._sizes[:, :, 0], axis=1)
        panel = ServerPanel(figure, self._sizes[:, 0].T, nodes, decision)
        panel.load[:] = 100 * np.array(self._load).T
        panel.show(decision, self._used, self._active, self._title)
        return pixels(figure)

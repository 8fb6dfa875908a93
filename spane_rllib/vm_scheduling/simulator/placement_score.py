"""A learned rule of placement: fragmentation gradient, now and at horizons, and where siblings are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spane_rllib.errors import UserError
from spane_rllib.vm_scheduling.simulator.cluster import NODES_PER_SERVER
from spane_rllib.vm_scheduling.simulator.fragmentation import FragmentationArrays, FragmentationGradient
from spane_rllib.vm_scheduling.simulator.survival import AGE_EDGES_S
from spane_rllib.vm_scheduling.simulator.workload import Workload

Table = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlacementScore(FragmentationGradient):
    """`FragmentationGradient` that also looks at when VMs are likely to leave.

    The cost of a placement is that of the gradient, which counts capacity now, plus:

    - the weighted capacity that is lost at each horizon, counted with the resources that are expected to be
      free by then and times the chance that the VM still runs then. The chances are shares of the training
      rows, by flavour and age (`survival.survival_table`): old VMs stay, and some flavours leave soon. This
      is the idea of lifetime-aware allocation (NILAS and LAVA, arXiv 2412.09840) with what a scheduler sees.
    - `imbalance` times the change of the difference between the free CPU shares of the server's nodes;
    - less `siblings` where a sibling was placed, a VM of the same flavour that arrived up to a second before.
      They are mostly deployed and deleted together (on Huawei-East-1 the logarithms of their lifetimes
      correlate with 0.8), so that a server that hosts them together is soon free again.

    It is unchanged by exchanging servers, or the two nodes of a server. Neither lifetimes nor arrivals that
    are still to come are used.

    Args:
        imbalance, siblings: weights, see above.
        horizons: K times, seconds.
        horizon_weights: (K, F) weight of each flavour at each horizon.
        survival: (K, A, F + 1) as of `survival_table`.
    """

    imbalance: float = 0.0
    siblings: float = 0.0
    horizons: tuple[float, ...] = ()
    horizon_weights: Table | None = None
    survival: Table | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        count, flavours = len(self.horizons), len(self.flavours)
        shapes = {
            "horizon_weights": (self.horizon_weights, (count, flavours)),
            "survival": (self.survival, (count, len(AGE_EDGES_S) + 1, flavours + 1)),
        }
        for name, (table, shape) in shapes.items():
            found = () if table is None else table.shape
            if (count and found != shape) or (table is not None and not np.isfinite(table).all()):
                raise UserError(f"placement score: {name} must be {shape} finite numbers")
        if not np.isfinite([self.imbalance, self.siblings, *self.horizons]).all():
            raise UserError("placement score: its weights and horizons must be finite numbers")

    def compile(self, workload: Workload, servers: int) -> FragmentationArrays:
        """The same in the workload's units; a kind of VM that is no flavour survives as any other does."""
        arrays = super().compile(workload, servers)
        residents = arrays.residents._replace(siblings=self.siblings)
        memo, count = arrays.memo_free, len(self.horizons)
        if count and self.survival is not None and self.horizon_weights is not None:
            slots = NODES_PER_SERVER * servers
            most_vms = slots * int(workload.arrays.capacity[0]) + 1  # every VM takes at least a unit of cpu
            residents = residents._replace(
                weights=np.ascontiguousarray(self.horizon_weights, np.float64),
                survival=np.ascontiguousarray(self.survival[:, :, self._columns(workload)]),
                age_edges=np.array(AGE_EDGES_S),
                leaving=np.zeros((count, 2, slots)),
                expected=np.zeros((count, 2, slots), np.int32),
                vm=np.zeros(most_vms, np.int64),
                since=np.zeros(most_vms),
                end=np.zeros(most_vms),
                span=np.array([0, -1, 0]),
            )
            memo = np.zeros((*memo.shape[:2], 4 * (1 + count)), np.int32)
        return arrays._replace(imbalance=self.imbalance, residents=residents, memo_free=memo)

    def _columns(self, workload: Workload) -> npt.NDArray[np.int64]:
        """(kinds,) column of `survival` for each kind of VM of the workload."""
        columns = {flavour: column for column, flavour in enumerate(self.flavours)}
        kinds, rows = np.unique(workload.kind, return_index=True)
        found = np.full(int(kinds.max(initial=-1)) + 1, len(self.flavours), np.int64)
        for kind, row in zip(kinds, rows, strict=True):
            size = float(workload.trace.cpu[row]), float(workload.trace.memory[row])
            found[kind] = columns.get(size, len(self.flavours))
        return found

"""A network's forward pass without torch: the hot path of simulation."""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
from torch import nn

from spane_rllib.problems.vm_scheduling.networks.base import NODES_PER_SERVER, QNetwork
from spane_rllib.problems.vm_scheduling.networks.kernels import batch_greedy_actions, batch_q_values
from spane_rllib.problems.vm_scheduling.networks.mlp import MlpNetwork, check_features, check_servers
from spane_rllib.problems.vm_scheduling.networks.packing import PackedWeights
from spane_rllib.problems.vm_scheduling.networks.spane import SpaneNetwork
from spane_rllib.problems.vm_scheduling.simulator import Cluster

Float32Array = npt.NDArray[np.float32]


def has_kernels(network: nn.Module) -> TypeGuard[QNetwork]:
    """Whether there is a compiled forward pass of `network`."""
    # Not isinstance: a subclass may compute anything else.
    return type(network) in (SpaneNetwork, MlpNetwork)


class CompiledQNetwork:
    """The compiled forward pass of `network`, equal to it up to rounding (1e-5).

    The result of a row does not depend on the other rows. Holds no Python lock while it computes and may be
    used from several threads at once, except during `refresh`.

    Args:
        network: the module whose weights to use; they are copied, see `refresh`.
    """

    def __init__(self, network: QNetwork) -> None:
        self._network = network
        self.packed = PackedWeights(network)
        """Arguments of `kernels.row_q_values` for other compiled code."""

    def refresh(self) -> None:
        """Take over the network's present weights, in place."""
        self.packed.refresh()

    def check_cluster(self, cluster: Cluster) -> None:
        """Raise a `UserError` unless the network takes observations of `cluster`."""
        check_servers(self._network, cluster.pairs)
        check_features(self._network, NODES_PER_SERVER * cluster.node_features)

    def q_values(
        self, servers: npt.ArrayLike, request: npt.ArrayLike, out: Float32Array | None = None
    ) -> Float32Array:
        """Unmasked Q-values.

        Args:
            servers: (B, N, 2, 2) remaining shares of capacity.
            request: (B, 3) CPU, memory and double flag.
            out: (B, 2N) float32, contiguous, to write to; made when None.

        Returns:
            (B, 2N) float32, `out` if given.

        Raises:
            UserError: the network takes another number of servers.
        """
        servers, request = self._inputs(servers, request)
        slots = self._slots(servers)
        if out is None:
            out = np.empty((len(servers), slots), dtype=np.float32)
        _check_out(out, (len(servers), slots), np.float32)
        batch_q_values(self.packed.weights, self.packed.layout, servers, request, out)
        return out

    def greedy_actions(
        self,
        servers: npt.ArrayLike,
        request: npt.ArrayLike,
        action_mask: npt.ArrayLike,
        out: npt.NDArray[np.int64] | None = None,
    ) -> npt.NDArray[np.int64]:
        """The feasible action of the highest Q-value; the first of equals, -1 where none is feasible.

        Args:
            servers: (B, N, 2, 2) remaining shares of capacity.
            request: (B, 3) CPU, memory and double flag.
            action_mask: (B, 2N), nonzero where the action is feasible.
            out: (B,) int64, contiguous, to write to; made when None.

        Returns:
            (B,) int64, `out` if given.

        Raises:
            UserError: the network takes another number of servers.
        """
        servers, request = self._inputs(servers, request)
        mask = _ready(action_mask, np.int8)
        if mask.shape != (len(servers), self._slots(servers)):
            raise ValueError(f"action_mask must be {(len(servers), self._slots(servers))}, got {mask.shape}")
        if out is None:
            out = np.empty(len(servers), dtype=np.int64)
        _check_out(out, (len(servers),), np.int64)
        batch_greedy_actions(self.packed.weights, self.packed.layout, servers, request, mask, out)
        return out

    def _inputs(self, servers: npt.ArrayLike, request: npt.ArrayLike) -> tuple[Float32Array, Float32Array]:
        """Both as the kernels need them, `servers` as (B, 4N) or (B, 8N)."""
        servers, request = _ready(servers, np.float32), _ready(request, np.float32)
        rows, features = len(servers), self._network.server_features
        node = (NODES_PER_SERVER, features // NODES_PER_SERVER)
        if servers.ndim != 4 or servers.shape[2:] != node or request.shape != (rows, 3):
            raise ValueError(
                f"servers must be (B, N, {node[0]}, {node[1]}) and request (B, 3), got {servers.shape} and "
                f"{request.shape}"
            )
        count = servers.shape[1]
        check_servers(self._network, count)
        return servers.reshape(rows, features * count), request

    def _slots(self, servers: Float32Array) -> int:
        return NODES_PER_SERVER * (servers.shape[1] // self._network.server_features)


def _ready(array: npt.ArrayLike, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Contiguous and writeable: numba would compile the kernels anew for any other kind of array."""
    array = np.ascontiguousarray(array, dtype=dtype)
    return array if array.flags.writeable else array.copy()


def _check_out(out: npt.NDArray[Any], shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous:
        raise ValueError(f"out must be a contiguous {np.dtype(dtype)} array of shape {shape}")

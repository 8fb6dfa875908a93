"""Compiled gradients: what torch's autograd needs from a SPANE, computed by `gradient_kernel`.

These networks are so small that torch spends most of a gradient step around its matrix products.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from spane_rllib.learning.batch import MASK, Arrays, Batch
from spane_rllib.learning.networks import linear_layers
from spane_rllib.learning.tensors import Tensors
from spane_rllib.problems.vm_scheduling.networks import gradient_kernel
from spane_rllib.problems.vm_scheduling.networks.base import NODES_PER_SERVER, REQUEST_FEATURES
from spane_rllib.problems.vm_scheduling.networks.lanes import LANES
from spane_rllib.problems.vm_scheduling.networks.packing import aggregation_bits
from spane_rllib.problems.vm_scheduling.networks.spane import SpaneNetwork

Table = npt.NDArray[np.int64]
MOST_WEIGHTS = 20_000
"""Of larger networks torch spends its time in matrix products, and is as fast."""
_NOTHING = np.zeros(0, np.float32)


def for_gradients(network: nn.Module) -> nn.Module:
    """The compiled Q-values of `network` where there are some and they are faster, else `network` itself."""
    weights = list(network.parameters())
    # Not isinstance: a subclass may compute anything else.
    if type(network) is not SpaneNetwork or sum(weight.numel() for weight in weights) > MOST_WEIGHTS:
        return network
    if any(weight.device.type != "cpu" or weight.dtype != torch.float32 for weight in weights):
        return network
    return CompiledSpane(network)


class CompiledSpane(nn.Module):
    """Q-values of `network`, computed by compiled code.

    Its one parameter, `flat`, is all of the network's: they become views of it, and each change of the one is
    a change of the other.

    Args:
        network: has to stay where it is; what replaces its weights by other tensors parts the two.
    """

    def __init__(self, network: SpaneNetwork) -> None:
        super().__init__()
        weights = tuple(network.parameters())
        self.flat = nn.Parameter(nn.utils.parameters_to_vector(weights).detach().clone())
        nn.utils.vector_to_parameters(self.flat.detach(), weights)
        self._views = weights  # a tuple, which torch does not take for parameters of this module
        self._features = network.server_features
        self._table_for = lru_cache(partial(layer_table, network))

    def forward(self, observation: Tensors) -> Tensor:
        """As `QNetwork.forward`; differentiable in `flat` alone."""
        servers, request = observation["servers"].flatten(1).contiguous(), observation["request"].contiguous()
        q: Tensor = _QValues.apply(self._table(observation["servers"].shape), servers, request, self.flat)
        return q

    def q_learning(
        self,
        target: CompiledSpane,
        batch: Batch,
        double_q: bool,
        mask_bootstrap: bool,
        loss: Literal["mse", "huber"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `learning.dqn.QLearning`."""
        gradient = torch.empty_like(self.flat, requires_grad=False)
        losses, taken = gradient_kernel.q_learning_batch(
            self.flat.detach().numpy(),
            target.flat.detach().numpy(),
            self._table(batch.observation["servers"].shape),
            *_flat(batch.observation),
            batch.action,
            batch.n_step_return,
            batch.discount,
            *_flat(batch.next_observation),
            batch.next_observation[MASK],
            double_q,
            mask_bootstrap,
            loss == "huber",
            gradient.numpy(),
        )
        return torch.tensor(losses), torch.tensor(taken), gradient

    def _table(self, shape: tuple[int, ...]) -> Table:
        """The layers for servers of `shape`, (B, N, ...)."""
        if self._views[0].data_ptr() != self.flat.data_ptr():
            raise RuntimeError("the network's weights have been replaced; make its compiled gradients anew")
        if math.prod(shape[2:]) != self._features:
            raise ValueError(f"a server has {self._features} features, got servers {tuple(shape)}")
        return self._table_for(shape[1])


def _flat(observation: Arrays) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    servers, request = observation["servers"], observation["request"]
    return (
        np.ascontiguousarray(servers.reshape(len(servers), -1), np.float32),
        np.ascontiguousarray(request, np.float32),
    )


class _QValues(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Table, servers: Tensor, request: Tensor, flat: Tensor) -> Tensor:
        q = servers.new_empty(len(servers), NODES_PER_SERVER * int(table[0, gradient_kernel.ROWS]))
        ctx.save_for_backward(flat)
        ctx.inputs = table, servers.numpy(), request.numpy()
        gradient_kernel.run_batch(flat.numpy(), table, servers.numpy(), request.numpy(), q.numpy(), _NOTHING)
        return q

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        (flat,) = ctx.saved_tensors  # torch sees to it that it is unchanged
        gradient, (table, servers, request) = torch.empty_like(flat), ctx.inputs
        q_slopes = slopes.contiguous().numpy()
        gradient_kernel.run_batch(flat.detach().numpy(), table, servers, request, q_slopes, gradient.numpy())
        return None, None, None, gradient


def layer_table(network: SpaneNetwork, servers: int) -> Table:
    """Layers and buffers for a number of servers, as `gradient_kernel` reads them."""
    offsets: dict[Tensor, int] = {}
    at = 0
    for parameter in network.parameters():
        offsets[parameter] = at
        at += parameter.numel()
    size = gradient_kernel.FEATURES

    def place(features: int) -> int:
        nonlocal size
        size += LANES * features
        return size - LANES * features

    def layer(
        linear: nn.Linear,
        source: int,
        rows: int,
        rectified: bool,
        columns: slice = slice(None),
        start: int = -1,
    ) -> int:
        """Add a row; returns where the layer writes. `start`: where sums to go on from are, not biases."""
        first, end, _ = columns.indices(linear.in_features)
        target = place(rows * linear.out_features)
        table.append(
            (
                end - first, linear.out_features, offsets[linear.weight] + first, linear.in_features,
                offsets[linear.bias] if start < 0 else -1, start, source, target, rows, int(rectified),
            )
        )  # fmt: skip
        return target

    table: list[tuple[int, ...]] = []
    at = place(servers * network.server_features)
    encoder = linear_layers(network.server)
    for number, linear in enumerate(encoder, 1):
        at = layer(linear, at, servers, number < len(encoder) or network.encoder_rectified)
    embeddings, width = at, network.server_width
    cluster = width * len(network.aggregations)
    shared = place(cluster + REQUEST_FEATURES)
    at = shared
    *hidden, last = linear_layers(network.value)
    for linear in hidden:
        at = layer(linear, at, 1, True)
    value = layer(last, at, 1, False)
    first, *hidden, last = linear_layers(network.advantage)
    at = layer(first, shared, 1, False, slice(width, None))
    at = layer(first, embeddings, servers, True, slice(width), start=at)
    for linear in hidden:
        at = layer(linear, at, servers, True)
    advantage = layer(last, at, servers, False)
    facts = (
        len(encoder), width, aggregation_bits(network.aggregations), network.correction,
        embeddings, shared, shared + LANES * cluster, value, advantage, size,
    )  # fmt: skip
    return np.array([*table, facts], np.int64)

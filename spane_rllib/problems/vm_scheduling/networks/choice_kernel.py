"""The forward pass of `ChoiceNetwork` for one observation, callable from other compiled code.

Every observation is computed alone and in one order: what is chosen does not depend on what else is played.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.learning.networks import linear_layers
from spane_rllib.problems.vm_scheduling.networks.choice import NEVER, VM_FEATURES, WAIT_SCALE, ChoiceNetwork

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_BODY = 1
"""Row of the layout where the layers start."""


class CompiledChoice:
    """The weights of a network as compiled code reads them.

    Args:
        network: the module whose weights to use; they are copied, see `refresh`.

    Attributes:
        layout: (1 + layers, 4) int64. Row 0: layers of the server and of the queue encoder, whether nodes are
            exchangeable, whether it may wait. From row 1 on inputs, outputs, and the offsets of the weights,
            (inputs, outputs), and of the biases, of the encoders, the head of waiting, the first layer of the
            advantage in three parts (server, VM, shared), and its second layer.
        weights: float32, flat.
    """

    def __init__(self, network: ChoiceNetwork) -> None:
        self._network = network
        rows, offset = [], 0
        for weight, bias in self._layers():
            outputs, inputs = weight.shape
            rows.append((inputs, outputs, offset, offset + weight.numel()))
            offset += weight.numel() + bias.numel()
        depths = [len(linear_layers(encoder)) for encoder in (network.server, network.queue)]
        self.layout: Rows = np.array(
            [(*depths, int(network.node_symmetry), int(network.may_wait)), *rows], np.int64
        )
        self.weights: Floats = np.empty(offset, np.float32)
        self.refresh()

    def _layers(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        network = self._network
        modules: list[nn.Module] = [network.server, network.queue, network.waiting]
        layers = [(layer.weight, layer.bias) for module in modules for layer in linear_layers(module)]
        first, second = linear_layers(network.advantage)
        nothing = torch.zeros_like(first.bias)
        of_server, of_vm, of_all = first.weight.split(network.advantage_parts, dim=1)
        return [
            *layers,
            (of_server, nothing),
            (of_vm, nothing),
            (of_all, first.bias),
            (second.weight, second.bias),
        ]

    def refresh(self) -> None:
        """Take over the network's present weights, in place."""
        with torch.no_grad():
            parts = [part for weight, bias in self._layers() for part in (weight.T.reshape(-1), bias)]
            self.weights[:] = torch.cat(parts).cpu().numpy()


@inlined
def _dense(weights: Floats, layer: Rows, source: Floats, target: Floats, rectify: bool) -> None:
    """One layer on `source`, to `target`."""
    inputs, outputs, at, bias = layer[0], layer[1], layer[2], layer[3]
    for output in range(outputs):
        target[output] = weights[bias + output]
    for index in range(inputs):
        value, row = source[index], at + index * outputs
        for output in range(outputs):
            target[output] += value * weights[row + output]
    if rectify:
        for output in range(outputs):
            target[output] = max(target[output], np.float32(0))


@inlined
def _encode(weights: Floats, layout: Rows, first: int, count: int, source: Floats, spare: Floats) -> int:
    """Rectified layers; the row of `spare` (2, widest) that holds the result."""
    _dense(weights, layout[first], source, spare[0], True)
    for index in range(1, count):
        _dense(weights, layout[first + index], spare[(index - 1) & 1], spare[index & 1], True)
    return (count - 1) & 1


@compiled
def rate_choices(
    weights: Floats,
    layout: Rows,
    servers: Floats,
    waiting: Floats,
    action_mask: npt.NDArray[np.int8],
    q: Floats,
) -> None:
    """Advantages of one observation of the flat `VMChoiceEnv`, which differ from Q-values by a constant.

    Args:
        weights, layout: of a `CompiledChoice`.
        servers: (N, 2, 2) or (N, 2, 4).
        waiting: (K, 4).
        action_mask: (2NK + 1,).
        q: (2NK + 1,), written; 0 for VMs that are not there.
    """
    weights, layout, servers = borrowed(weights), borrowed(layout), borrowed(servers)
    waiting, action_mask, q = borrowed(waiting), borrowed(action_mask), borrowed(q)
    server_depth, queue_depth, symmetric = layout[0, 0], layout[0, 1], layout[0, 2]
    queue_at = _BODY + server_depth
    waiting_at = queue_at + queue_depth
    advantage_at = waiting_at + 2
    width, queue_width = layout[queue_at - 1, 1], layout[waiting_at - 1, 1]
    hidden_width, outputs = layout[advantage_at, 1], layout[advantage_at + 3, 1]
    spare = np.empty((2, layout[_BODY:, 1].max()), np.float32)

    count, half = servers.shape[0], servers.shape[2]
    slots = 2 * count
    items = slots if symmetric else count
    seen = np.empty(2 * half, np.float32)
    of_server = np.empty((items, hidden_width), np.float32)
    shared = np.zeros(2 * width + queue_width, np.float32)
    for item in range(items):
        server, node = (item >> 1, item & 1) if symmetric else (item, 0)
        for index in range(half):
            seen[index] = servers[server, node, index]
            seen[half + index] = servers[server, 1 - node, index]
        encoded = spare[_encode(weights, layout, _BODY, server_depth, seen, spare)]
        for index in range(width):
            shared[index] += encoded[index]
            shared[width + index] = max(shared[width + index], encoded[index])  # none is below 0
        _dense(weights, layout[advantage_at], encoded, of_server[item], False)
    for index in range(width):
        shared[index] /= np.float32(items)

    places = waiting.shape[0]
    vms = np.zeros((places, VM_FEATURES), np.float32)
    present, fitting = 0, 0
    for place in range(places):
        if waiting[place, 0] <= 0 and waiting[place, 1] <= 0:
            break
        present += 1
        fits = False
        for slot in range(slots):
            fits |= action_mask[place * slots + slot] != 0
        fitting += fits
        vm = vms[place]
        for index in range(3):
            vm[index] = waiting[place, index]
        vm[3] = np.float32(WAIT_SCALE) * waiting[place, 3]
        vm[4] = np.float32(fits)
        vm[5] = np.float32(fits and fitting == 1)
        vm[6] = np.float32(1) / np.float32(place + 1)
        encoded = spare[_encode(weights, layout, queue_at, queue_depth, vm, spare)]
        for index in range(queue_width):
            shared[2 * width + index] += encoded[index]

    q[:] = 0
    _dense(weights, layout[waiting_at], shared, spare[0], True)
    _dense(weights, layout[waiting_at + 1], spare[0], spare[1], False)
    q[places * slots] = spare[1, 0] if layout[0, 3] else np.float32(NEVER)
    common = np.empty(hidden_width, np.float32)
    _dense(weights, layout[advantage_at + 2], shared, common, False)
    hidden, of_vm = np.empty(hidden_width, np.float32), np.empty(hidden_width, np.float32)
    for place in range(present):
        _dense(weights, layout[advantage_at + 1], vms[place], of_vm, False)
        for item in range(items):
            for index in range(hidden_width):
                total = common[index] + of_vm[index] + of_server[item, index]
                hidden[index] = max(total, np.float32(0))
            _dense(weights, layout[advantage_at + 3], hidden, spare[0], False)
            for output in range(outputs):
                q[place * slots + item * outputs + output] = spare[0, output]

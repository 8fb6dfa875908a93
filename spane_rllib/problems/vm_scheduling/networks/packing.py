"""A network's weights as one flat vector with a small table of shapes, for compiled code."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from spane_rllib.learning.networks import linear_layers
from spane_rllib.problems.vm_scheduling.networks.base import QNetwork
from spane_rllib.problems.vm_scheduling.networks.dense import BLOCK
from spane_rllib.problems.vm_scheduling.networks.mlp import MlpNetwork
from spane_rllib.problems.vm_scheduling.networks.options import AGGREGATIONS, Aggregation
from spane_rllib.problems.vm_scheduling.networks.spane import SpaneNetwork

SPANE, MLP = 0, 1
BODY = 2
"""Row of the layout where the layers start."""


class PackedWeights:
    """Weights and layout of a network, with no Python object left in them.

    Attributes:
        layout: (2 + layers, 4) int64. Row 0: SPANE or MLP, first rows of the value and of the advantage head,
            whether a ReLU ends the server encoder. Row 1: width of the server embedding, bit set of
            aggregations (bit i is `AGGREGATIONS[i]`), widest layer, correction of the standard deviation.
            From row 2 on one row per layer: inputs, outputs in whole blocks, offset of the biases, offset of
            the weights. SPANE's first advantage layer is two: the columns of the shared features with the
            bias, then the columns of the server embedding.
        weights: float32 vector, biases and weights of each layer as `dense` reads them.
    """

    def __init__(self, network: QNetwork) -> None:
        self._parameters = list(network.parameters())
        # Number the weights from 1 and pack the numbers: `refresh` copies values by number. 0 is padding.
        count = 1
        numbers: dict[torch.Tensor, npt.NDArray[np.int64]] = {}
        for parameter in self._parameters:
            numbers[parameter] = np.arange(count, count + parameter.numel()).reshape(parameter.shape)
            count += parameter.numel()

        layers = [(numbers[layer.weight], numbers[layer.bias]) for layer in linear_layers(network)]
        if isinstance(network, SpaneNetwork):
            kind, width = SPANE, network.server_width
            rectified, correction = int(network.encoder_rectified), network.correction
            aggregations = aggregation_bits(network.aggregations)
            value_head = len(linear_layers(network.server))
            advantage_head = value_head + len(linear_layers(network.value))
            weight, bias = layers[advantage_head]
            layers[advantage_head : advantage_head + 1] = [
                (weight[:, width:], bias),
                (weight[:, :width], np.zeros_like(bias)),
            ]
        elif isinstance(network, MlpNetwork):
            kind, width, aggregations, rectified, correction = MLP, 0, 0, 0, 0
            value_head = len(linear_layers(network.trunk))
            advantage_head = value_head + 1
        else:
            raise TypeError(f"no compiled forward pass for {type(network).__name__}")

        table, pieces, offset = [], [], 0
        for weight, bias in layers:
            outputs, inputs = weight.shape
            padded = -(-outputs // BLOCK) * BLOCK
            table.append((inputs, padded, offset, offset + padded))
            rows = np.zeros((padded, inputs), dtype=np.int64)
            rows[:outputs] = weight
            blocks = rows.reshape(-1, BLOCK, inputs).swapaxes(1, 2)
            pieces += [bias, np.zeros(padded - outputs, dtype=np.int64), blocks.ravel()]
            offset += padded * (1 + inputs)
        widest = max(padded for _, padded, _, _ in table)
        self.layout = np.array(
            [
                (kind, BODY + value_head, BODY + advantage_head, rectified),
                (width, aggregations, widest, correction),
                *table,
            ],
            dtype=np.int64,
        )
        self._source = np.concatenate(pieces)
        self._values = np.zeros(count, dtype=np.float32)
        self.weights = np.empty(len(self._source), dtype=np.float32)
        self.refresh()

    def refresh(self) -> None:
        """Read the network's present weights, in place."""
        flat = nn.utils.parameters_to_vector(self._parameters)
        self._values[1:] = flat.detach().cpu().numpy()
        np.take(self._values, self._source, out=self.weights)


def aggregation_bits(names: Iterable[Aggregation]) -> int:
    """Bit i is set where the aggregation `AGGREGATIONS[i]` is among `names`."""
    return sum(1 << AGGREGATIONS.index(name) for name in names)

"""SPANE's forward pass for many servers of which few change between decisions, callable from compiled code.

What it computes is what `kernels.row_q_values` computes, bit for bit, in another order in time: servers are
embedded when they change, and the advantages of `LANES` servers at once.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# Types here are numba's and inferred by it.

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.networks.base import (
    NODES_PER_SERVER,
    REQUEST_FEATURES,
    SERVER_FEATURES,
)
from spane_rllib.problems.vm_scheduling.networks.dense import BLOCK
from spane_rllib.problems.vm_scheduling.networks.kernels import layers, summarize
from spane_rllib.problems.vm_scheduling.networks.lanes import LANES, packed_layer, spread
from spane_rllib.problems.vm_scheduling.networks.options import AGGREGATIONS
from spane_rllib.problems.vm_scheduling.networks.packing import BODY
from spane_rllib.problems.vm_scheduling.networks.vectors import Vectors

SLOTS = NODES_PER_SERVER * LANES
"""Slots of a group of servers, whose advantages are computed together."""
_ADVANTAGES = 4  # outputs of the last layer that are computed: two of a server, and what pads them

Float32Array = npt.NDArray[np.float32]


class EmbeddedServers(NamedTuple):
    """The embeddings of N servers in G groups of `LANES`; W is the width of an embedding."""

    by_server: Float32Array  # (N * whole blocks of W,)
    values: Float32Array  # (G * W * LANES,) by group and feature, and room to compute in
    advantages: Float32Array  # (G * SLOTS,) of the last decision

    @classmethod
    def empty(cls, layout: npt.NDArray[np.int64], servers: int) -> EmbeddedServers:
        """None embedded yet, for a SPANE network with the `layout` of its `PackedWeights`."""
        width, widest, groups = int(layout[1, 0]), int(layout[1, 2]), groups_of(servers)
        of_one = 2 * SERVER_FEATURES + len(AGGREGATIONS) * width + REQUEST_FEATURES + 4 * widest + 2 * BLOCK
        return cls(
            np.zeros(servers * int(layout[layout[0, 1] - 1, 1]), np.float32),
            np.zeros(LANES * (groups * width + 3 * widest) + of_one, np.float32),
            np.zeros(groups * SLOTS, np.float32),
        )


def groups_of(servers: int) -> int:
    """Groups that `servers` servers are in, of which the last may not be full."""
    return -(-servers // LANES)


@inlined
def embed(weights, layout, features, embedded, server):
    """Embed `server` anew; `features` (2, 2) or (2, 4) are what is observed of it."""
    width, widest, stride = layout[1, 0], layout[1, 2], layout[layout[0, 1] - 1, 1]
    values = embedded.values
    observed = len(values) - 2 * SERVER_FEATURES
    target = observed - widest
    count = features.shape[1]
    for node in range(NODES_PER_SERVER):
        for feature in range(count):
            values[observed + node * count + feature] = features[node, feature]
    layers(
        weights, layout, BODY, layout[0, 1] - BODY, layout[0, 3] != 0,
        values, observed, 0, target, 0, 1, target - 2 * widest,
    )  # fmt: skip
    group, lane = server // LANES, server % LANES
    for feature in range(width):
        value = values[target + feature]
        embedded.by_server[server * stride + feature] = value
        values[(group * width + feature) * LANES + lane] = value


@inlined
def advantages(weights, layout, request, embedded, slots):
    """Compute the advantages of all `slots`; returns what is to be added to them for Q-values."""
    width, widest, stride = layout[1, 0], layout[1, 2], layout[layout[0, 1] - 1, 1]
    values, result = embedded.values, embedded.advantages
    groups, own, last = len(result) // SLOTS, layout[0, 2] + 1, len(layout) - 1
    start = groups * width * LANES
    hidden = start + widest * LANES
    sums = hidden + 2 * widest * LANES
    value = sums + widest
    shared = value + BLOCK
    spare = len(values) - 2 * SERVER_FEATURES - 3 * widest
    summarize(
        weights, layout, embedded.by_server, 0, stride, slots // NODES_PER_SERVER, request,
        values, spare, shared, sums, value,
    )  # fmt: skip
    spread(values, sums, layout[own, 1], values, start)
    total = np.float32(0)
    for group in range(groups):
        source = group * width * LANES
        for layer in range(own, last + 1):
            target = hidden + (layer & 1) * widest * LANES
            outputs = _ADVANTAGES if layer == last else layout[layer, 1]
            begin = start
            if layer > own:
                begin = target
                spread(weights, layout[layer, 2], outputs, values, target)
            lowest = np.float32(-np.inf) if layer == last else np.float32(0)
            packed_layer(
                begin, weights, layout[layer, 3], layout[layer, 0], outputs, values, source, lowest, target
            )
            source = target
        _interleave(values, source, result, group * SLOTS)
        for slot in range(group * SLOTS, min((group + 1) * SLOTS, slots)):
            total += result[slot]
    return values[value] - total / np.float32(slots)


@intrinsic
def _interleave(typing_context, values, source, result, target) -> Any:
    """The two advantages of each of `LANES` servers, which lie by lane, in the order of slots."""
    signature = types.void(values, source, result, target)

    def generate(context, builder, signature, arguments):
        vectors = Vectors(context, builder, signature, arguments, LANES)
        _, source, _, target = arguments
        both = [
            vectors.load(0, builder.add(source, ir.Constant(source.type, node * LANES)))
            for node in range(NODES_PER_SERVER)
        ]
        order = [node * LANES + lane for lane in range(LANES) for node in range(NODES_PER_SERVER)]
        for half in range(NODES_PER_SERVER):
            places = ir.Constant(
                ir.VectorType(ir.IntType(32), LANES), order[half * LANES : (half + 1) * LANES]
            )
            offset = builder.add(target, ir.Constant(target.type, half * LANES))
            vectors.store(builder.shuffle_vector(*both, places), 2, offset)
        return context.get_dummy_value()

    return signature, generate


def _bits(builder: Any, flags: Any) -> Any:
    """Of the flags of `SLOTS` slots, that of the first one last."""
    return builder.zext(builder.bitcast(flags, ir.IntType(SLOTS)), ir.IntType(64))


@intrinsic
def slots_above(typing_context, result, first, baseline, best) -> Any:
    """Bit k is set where the Q-value of slot `first` + k, result[first + k] + `baseline`, is above `best`."""
    signature = types.int64(result, first, baseline, best)

    def generate(context, builder, signature, arguments):
        vectors = Vectors(context, builder, signature, arguments, SLOTS)
        _, first, baseline, best = arguments
        q = builder.fadd(vectors.load(0, first), vectors.broadcast(baseline))
        return _bits(builder, builder.fcmp_ordered(">", q, vectors.broadcast(best)))

    return signature, generate


@intrinsic
def slots_with(typing_context, free, first, second, least, other_least) -> Any:
    """Bit k is set where free[first + k] is at least `least` and free[second + k] at least `other_least`."""
    signature = types.int64(free, first, second, least, other_least)

    def generate(context, builder, signature, arguments):
        vectors = Vectors(context, builder, signature, arguments, SLOTS)
        _, first, second, least, other_least = arguments
        has, has_other = (
            builder.icmp_signed(">=", vectors.load(0, at), vectors.broadcast(lowest))
            for at, lowest in ((first, least), (second, other_least))
        )
        return _bits(builder, builder.and_(has, has_other))

    return signature, generate

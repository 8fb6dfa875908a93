"""The forward pass of both networks for one observation, callable from other compiled code.

Every row is computed alone and in one order, so a result does not depend on the batch it is part of.
Sums over servers and slots are plain float32 code without fast-math for the same reason.
"""

# mypy: disable-error-code="no-untyped-def"
# Types here are numba's and inferred by it.

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled, included, inlined
from spane_rllib.problems.vm_scheduling.networks.base import (
    NODES_PER_SERVER,
    REQUEST_FEATURES,
    SERVER_FEATURES,
)
from spane_rllib.problems.vm_scheduling.networks.dense import (
    BLOCK,
    dense,
    largest_of_rows,
    squares_of_rows,
    sum_of_rows,
)
from spane_rllib.problems.vm_scheduling.networks.options import AGGREGATIONS
from spane_rllib.problems.vm_scheduling.networks.packing import BODY, SPANE

MEAN, MAX, STD = (1 << AGGREGATIONS.index(name) for name in ("mean", "max", "std"))


@compiled
def scratch_size(layout, servers):
    """Floats of scratch that `row_q_values` needs for `servers` servers."""
    widest = layout[1, 2]
    inputs = 2 * SERVER_FEATURES * servers + REQUEST_FEATURES  # the most
    shared = len(AGGREGATIONS) * layout[1, 0] + REQUEST_FEATURES
    # Input, embeddings and two layers of all servers, shared features, their sums, value, advantages.
    return inputs + 3 * servers * widest + shared + widest + BLOCK + NODES_PER_SERVER * servers + BLOCK


@inlined
def layers(
    weights, layout, first, count, rectify_last,
    values, source, source_stride, target, target_stride, rows, spare,
):  # fmt: skip
    """`count` layers from layer `first` on; those in between write the two buffers at `spare` in turn."""
    widest = layout[1, 2]
    for layer in range(first, first + count):
        last = layer == first + count - 1
        out, stride = (target, target_stride) if last else (spare + (layer & 1) * rows * widest, widest)
        dense(
            weights, layout[layer], weights, layout[layer, 2], rectify_last or not last,
            values, source, source_stride, out, stride, rows,
        )  # fmt: skip
        source, source_stride = out, stride


@inlined
def aggregate(rows, first, stride, servers, width, aggregations, correction, values, spare, out):
    """The cluster embedding: mean, max and standard deviation of servers, in this order, if wanted.

    Args:
        rows, first, stride: array of the embeddings, offset of the first one, and from one to the next.
        servers, width: number of embeddings, of `width` features each.
        aggregations, correction: of the layout.
        values: where to write.
        spare: offset there of room for `width` features in whole blocks.
        out: offset there of the result.
    """
    for block in range(0, width, BLOCK):
        sum_of_rows(rows, first + block, stride, servers, rows, first, values, spare + block)
    for feature in range(spare, spare + width):
        values[feature] /= np.float32(servers)
    # What a last block writes beyond its features is overwritten by what comes after.
    if aggregations & MEAN:
        for feature in range(width):
            values[out + feature] = values[spare + feature]
        out += width
    if aggregations & MAX:
        for block in range(0, width, BLOCK):
            largest_of_rows(rows, first + block, stride, servers, rows, first, values, out + block)
        out += width
    if aggregations & STD:
        divisor = np.float32(max(servers - correction, 1))
        for block in range(0, width, BLOCK):
            squares_of_rows(rows, first + block, stride, servers, values, spare + block, values, out + block)
        for feature in range(out, out + width):
            values[feature] = np.sqrt(values[feature] / divisor)


@inlined
def summarize(
    weights, layout, rows, first, stride, servers, request, values, spare, shared, sums, value
):  # fmt: skip
    """What all servers have in common, of their embeddings as in `aggregate` and of the request: what the
    first advantage layer begins with, at `sums` of `values`, and the state value at `value`.
    """
    value_head, advantage_head = layout[0, 1], layout[0, 2]
    aggregate(rows, first, stride, servers, layout[1, 0], layout[1, 1], layout[1, 3], values, spare, shared)
    request_at = shared + layout[value_head, 0] - REQUEST_FEATURES
    for i in range(REQUEST_FEATURES):
        values[request_at + i] = request[i]
    layers(
        weights, layout, value_head, advantage_head - value_head, False,
        values, shared, 0, value, 0, 1, spare,
    )  # fmt: skip
    # The advantage head's first layer: the shared features once, each server's own added to that.
    dense(
        weights, layout[advantage_head], weights, layout[advantage_head, 2], False,
        values, shared, 0, sums, 0, 1,
    )  # fmt: skip


@included
def row_q_values(weights, layout, servers, request, values, q):
    """Q-values of one observation.

    Args:
        weights, layout: of a `PackedWeights`.
        servers: (4N,) float32, remaining shares of capacity, as `servers.ravel()` of (N, 2, 2), or (8N,) of
            (N, 2, 4).
        request: (3,) float32.
        values: float32 scratch of at least `scratch_size(layout, N)`.
        q: (2N,) float32, written.
    """
    weights, layout, servers = borrowed(weights), borrowed(layout), borrowed(servers)
    request, values, q = borrowed(request), borrowed(values), borrowed(q)
    kind, value_head, advantage_head = layout[0, 0], layout[0, 1], layout[0, 2]
    width, widest = layout[1, 0], layout[1, 2]
    slots = len(q)
    count = slots // NODES_PER_SERVER
    features = len(servers) // count
    embeddings = len(servers) + REQUEST_FEATURES
    spare = embeddings + count * widest
    shared = spare + 2 * count * widest
    sums = shared + len(AGGREGATIONS) * width + REQUEST_FEATURES
    value = sums + widest
    advantages = value + BLOCK

    for i in range(len(servers)):
        values[i] = servers[i]
    if kind == SPANE:
        layers(
            weights, layout, BODY, value_head - BODY, layout[0, 3] != 0,
            values, 0, features, embeddings, widest, count, spare,
        )  # fmt: skip
        summarize(
            weights, layout, values, embeddings, widest, count, request, values, spare, shared, sums, value
        )
        own = advantage_head + 1
        hidden = spare + (own & 1) * count * widest  # the buffer that layer own + 1 does not write
        dense(
            weights, layout[own], values, sums, True,
            values, embeddings, widest, hidden, widest, count,
        )  # fmt: skip
        # Two advantages a server: what pads one server's block is overwritten by the next server's.
        layers(
            weights, layout, own + 1, len(layout) - own - 1, False,
            values, hidden, widest, advantages, NODES_PER_SERVER, count, spare,
        )  # fmt: skip
    else:
        for i in range(REQUEST_FEATURES):
            values[len(servers) + i] = request[i]
        layers(weights, layout, BODY, value_head - BODY, True, values, 0, 0, embeddings, 0, 1, spare)
        layers(weights, layout, value_head, 1, False, values, embeddings, 0, value, 0, 1, spare)
        layers(weights, layout, advantage_head, 1, False, values, embeddings, 0, advantages, 0, 1, spare)

    total = np.float32(0)
    for slot in range(slots):
        total += values[advantages + slot]
    baseline = values[value] - total / np.float32(slots)
    for slot in range(slots):
        q[slot] = values[advantages + slot] + baseline


@compiled
def batch_q_values(weights, layout, servers, request, q):
    """Q-values (B, 2N) of `servers` (B, 4N or 8N) and `request` (B, 3), row by row."""
    weights, layout, servers = borrowed(weights), borrowed(layout), borrowed(servers)
    request, q = borrowed(request), borrowed(q)
    values = np.empty(scratch_size(layout, q.shape[1] // NODES_PER_SERVER), dtype=np.float32)
    for row in range(len(servers)):
        row_q_values(weights, layout, servers[row], request[row], values, q[row])


@inlined
def best_feasible(values, mask):
    """The action of the highest value whose mask is not 0, the first of equals, -1 without any."""
    best = -1
    for action in range(len(values)):
        if mask[action] != 0 and (best < 0 or values[action] > values[best]):
            best = action
    return best


@compiled
def batch_greedy_actions(weights, layout, servers, request, action_mask, actions):
    """The feasible action of the highest Q-value of each row, the first of equals, -1 without any."""
    weights, layout, servers = borrowed(weights), borrowed(layout), borrowed(servers)
    request, action_mask, actions = borrowed(request), borrowed(action_mask), borrowed(actions)
    values = np.empty(scratch_size(layout, action_mask.shape[1] // NODES_PER_SERVER), dtype=np.float32)
    q = np.empty(action_mask.shape[1], dtype=np.float32)
    for row in range(len(servers)):
        row_q_values(weights, layout, servers[row], request[row], values, q)
        actions[row] = best_feasible(q, action_mask[row])

"""SPANE forward and backward for a batch, without torch.

`LANES` rows go through all layers together, so that what is computed stays in the processor's nearest cache;
the backward pass computes their forward pass again. Sums over rows are made in one order: by lane, then over
the lanes.
"""

# mypy: disable-error-code="no-untyped-def, call-arg"
# Types here are numba's and inferred by it.

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.vm_scheduling.networks.base import NODES_PER_SERVER, REQUEST_FEATURES
from spane_rllib.problems.vm_scheduling.networks.kernels import MAX, MEAN, STD, best_feasible
from spane_rllib.problems.vm_scheduling.networks.lanes import (
    LANES,
    add_products,
    add_rows,
    keep_positive,
    layer,
    spread,
)

# Columns of a layer's row in the table of `gradients.layer_table`; offsets into buffers are in floats.
INPUTS, OUTPUTS, WEIGHT, STRIDE, BIAS, START, SOURCE, TARGET, ROWS, RECTIFIED = range(10)
# What the last row of the table holds.
ENCODER_LAYERS, WIDTH, AGGREGATIONS, CORRECTION, EMBEDDINGS, SHARED, REQUEST, VALUE, ADVANTAGE, SIZE = range(
    10
)
FEATURES = 0
"""Offset of the servers' features in a buffer."""


@inlined
def _aggregate(values, facts, servers):
    """The cluster embedding of each lane: mean, max and standard deviation in this order, if wanted."""
    width, wanted, embeddings = facts[WIDTH], facts[AGGREGATIONS], facts[EMBEDDINGS]
    stride, position = LANES * width, facts[SHARED]
    if wanted & MEAN:
        for place in range(position, position + stride):
            values[place] = np.float32(0)
        share = np.float32(1) / np.float32(servers)
        add_rows(values, position, width, values, embeddings, stride, servers, share)
        position += stride
    if wanted == MEAN:
        return
    divisor = np.float32(max(servers - facts[CORRECTION], 1))
    for place in range(stride):
        here = position + place
        if wanted & MAX:
            largest = values[embeddings + place]
            for server in range(1, servers):
                largest = max(largest, values[embeddings + server * stride + place])
            values[here] = largest
            here += stride
        if wanted & STD:
            mean, squares = _mean(values, embeddings + place, stride, servers), np.float32(0)
            for server in range(servers):
                difference = values[embeddings + server * stride + place] - mean
                squares += difference * difference
            values[here] = np.sqrt(squares / divisor)


@inlined
def _mean(values, first, stride, servers):
    """Exact where all are equal: the slope of a deviation that is nothing but rounding would not be small."""
    total = np.float32(0)
    for server in range(1, servers):
        total += values[first + server * stride] - values[first]
    return values[first] + total / np.float32(servers)


@inlined
def _aggregate_backward(values, slopes, facts, servers):
    """Add to the embeddings' slopes what the cluster embedding's are; equal largest ones share theirs."""
    width, wanted, embeddings = facts[WIDTH], facts[AGGREGATIONS], facts[EMBEDDINGS]
    stride, position = LANES * width, facts[SHARED]
    if wanted & MEAN:
        share = np.float32(1) / np.float32(servers)
        for server in range(servers):
            add_rows(slopes, embeddings + server * stride, width, slopes, position, stride, 1, share)
        position += stride
    if wanted == MEAN:
        return
    divisor = np.float32(max(servers - facts[CORRECTION], 1))
    for place in range(stride):
        here = position + place
        largest, largest_slope = np.float32(0), np.float32(0)
        mean, deviation_slope = np.float32(0), np.float32(0)
        if wanted & MAX:
            largest, equals = values[here], np.float32(0)
            for server in range(servers):
                if values[embeddings + server * stride + place] == largest:
                    equals += np.float32(1)
            largest_slope = slopes[here] / max(equals, np.float32(1))
            here += stride
        if wanted & STD:
            mean = _mean(values, embeddings + place, stride, servers)
            if values[here] > 0:  # like torch, no slope where all servers are equal
                deviation_slope = slopes[here] / (values[here] * divisor)
        for server in range(servers):
            own = embeddings + server * stride + place
            slopes[own] += deviation_slope * (values[own] - mean)
            if wanted & MAX and values[own] == largest:
                slopes[own] += largest_slope


@inlined
def _forward(weights, table, values, servers):
    facts = table[len(table) - 1]
    for number in range(len(table) - 1):
        if number == facts[ENCODER_LAYERS]:
            _aggregate(values, facts, servers)
        row = table[number]
        inputs, outputs = row[INPUTS], row[OUTPUTS]
        lowest = np.float32(0) if row[RECTIFIED] else np.float32(-np.inf)
        for server in range(row[ROWS]):
            source, target = row[SOURCE] + server * LANES * inputs, row[TARGET] + server * LANES * outputs
            start = row[START]
            if row[BIAS] >= 0:
                spread(weights, row[BIAS], outputs, values, target)
                start = target
            layer(
                start, weights, row[WEIGHT], 1, row[STRIDE], inputs, outputs,
                values, source, lowest, target,
            )  # fmt: skip


@inlined
def _backward(weights, table, values, slopes, totals, servers):
    facts = table[len(table) - 1]
    for number in range(len(table) - 2, -1, -1):
        row = table[number]
        inputs, outputs, source, target, rows = row[INPUTS], row[OUTPUTS], row[SOURCE], row[TARGET], row[ROWS]
        source_stride, target_stride = LANES * inputs, LANES * outputs
        if row[RECTIFIED]:
            keep_positive(values, slopes, target, outputs * rows)
        if row[BIAS] >= 0:
            add_rows(totals, LANES * row[BIAS], outputs, slopes, target, target_stride, rows, np.float32(1))
        else:
            add_rows(slopes, row[START], outputs, slopes, target, target_stride, rows, np.float32(1))
        for output in range(outputs):
            add_products(
                totals, LANES * (row[WEIGHT] + row[STRIDE] * output), inputs,
                values, source, source_stride, slopes, target + LANES * output, target_stride, rows,
            )  # fmt: skip
        if number > 0:  # below are the servers' features
            for server in range(rows):
                below = source + server * source_stride
                layer(
                    below, weights, row[WEIGHT], row[STRIDE], 1, outputs, inputs,
                    slopes, target + server * target_stride, np.float32(-np.inf), below,
                )  # fmt: skip
        if number == facts[ENCODER_LAYERS]:
            _aggregate_backward(values, slopes, facts, servers)


@compiled
def run_batch(weights, table, servers, request, q, gradient):
    """Q-values of a batch, or the gradient of the weights from that of the Q-values.

    Args:
        weights: (P,) float32, the network's parameters one after the other.
        table: of `gradients.layer_table` for N servers.
        servers: (B, F N) float32 features.
        request: (B, 3) float32.
        q: (B, 2N) float32, written; or with a gradient, the slopes of the Q-values.
        gradient: (P,) float32, written, or empty where none is wanted.
    """
    weights, table, servers, request = (
        borrowed(weights),
        borrowed(table),
        borrowed(servers),
        borrowed(request),
    )
    q, gradient = borrowed(q), borrowed(gradient)
    facts, backward = table[len(table) - 1], len(gradient) > 0
    count = q.shape[1] // NODES_PER_SERVER
    values, slopes = np.zeros(facts[SIZE], np.float32), np.zeros(facts[SIZE], np.float32)
    totals = np.zeros(LANES * len(gradient), np.float32)
    for first in range(0, len(servers), LANES):
        rows = min(LANES, len(servers) - first)  # of the last ones what lies in other lanes is not read
        _observe(values, facts, servers, request, first, rows)
        _forward(weights, table, values, count)
        if not backward:
            for lane in range(rows):
                _combine(values, facts, lane, q[first + lane])
            continue
        for place in range(len(slopes)):
            slopes[place] = np.float32(0)
        for lane in range(rows):
            _combine_backward(slopes, facts, lane, q[first + lane])
        _backward(weights, table, values, slopes, totals, count)
    _add_lanes(totals, gradient)


@compiled
def q_learning_batch(
    weights, target, table, servers, request, action, returns, discount, next_servers, next_request,
    next_mask, double_q, mask_bootstrap, huber, gradient,
):  # fmt: skip
    """The loss of `learning.dqn`, the mean Q-value of the actions taken, and the gradient of the loss.

    Args:
        weights, target: (P,) float32 of the network and of the target network.
        table: as of `run_batch`.
        servers, next_servers: (B, F N) float32 features.
        request, next_request: (B, 3) float32.
        action: (B,) int64.
        returns, discount: (B,) float32.
        next_mask: (B, 2N) int8.
        double_q, mask_bootstrap: as in `DqnSettings`.
        huber: whether the loss is Huber's, else it is the squared error.
        gradient: (P,) float32, written.
    """
    weights, target, table, gradient = (
        borrowed(weights),
        borrowed(target),
        borrowed(table),
        borrowed(gradient),
    )
    servers, request, next_servers = borrowed(servers), borrowed(request), borrowed(next_servers)
    next_request, next_mask = borrowed(next_request), borrowed(next_mask)
    action, returns, discount = borrowed(action), borrowed(returns), borrowed(discount)
    facts = table[len(table) - 1]
    batch, slots = next_mask.shape
    count = slots // NODES_PER_SERVER
    values, slopes = np.zeros(facts[SIZE], np.float32), np.zeros(facts[SIZE], np.float32)
    totals = np.zeros(LANES * len(gradient), np.float32)
    q = np.empty((3, LANES, slots), np.float32)  # of the next state by target and network; of this state
    everything = np.ones(slots, np.int8)
    of_mean = np.float32(1) / np.float32(batch)
    losses, taken = 0.0, 0.0
    for first in range(0, batch, LANES):
        rows = min(LANES, batch - first)
        for stage in range(3):
            if stage == 1 and not double_q:
                continue
            if stage < 2:
                _observe(values, facts, next_servers, next_request, first, rows)
            else:
                _observe(values, facts, servers, request, first, rows)
            _forward(target if stage == 0 else weights, table, values, count)
            for lane in range(rows):
                _combine(values, facts, lane, q[stage, lane])
        for place in range(len(slopes)):
            slopes[place] = np.float32(0)
        for lane in range(rows):
            row = first + lane
            allowed = next_mask[row] if mask_bootstrap else everything
            # Where nothing is, the discount is 0.
            best = max(best_feasible(q[1 if double_q else 0, lane], allowed), 0)
            error = q[2, lane, action[row]] - (returns[row] + discount[row] * q[0, lane, best])
            taken += q[2, lane, action[row]]
            if huber:
                size = abs(np.float64(error))
                losses += 0.5 * size * size if size < 1 else size - 0.5
                slope = of_mean * min(max(error, np.float32(-1)), np.float32(1))
            else:
                losses += np.float64(error) * np.float64(error)
                slope = np.float32(2) * of_mean * error
            taken_slopes = q[2, lane]
            for slot in range(slots):
                taken_slopes[slot] = slope if slot == action[row] else np.float32(0)
            _combine_backward(slopes, facts, lane, taken_slopes)
        _backward(weights, table, values, slopes, totals, count)
    _add_lanes(totals, gradient)
    return losses / batch, taken / batch


@inlined
def _observe(values, facts, servers, request, first, rows):
    """Lay `rows` observations from row `first` on into the lanes of a buffer."""
    for lane in range(rows):
        for feature in range(servers.shape[1]):
            values[FEATURES + LANES * feature + lane] = servers[first + lane, feature]
        for feature in range(REQUEST_FEATURES):
            values[facts[REQUEST] + LANES * feature + lane] = request[first + lane, feature]


@inlined
def _combine(values, facts, lane, q):
    """The Q-values of a lane, as `base.combine` makes them of value and advantages."""
    advantages, total = facts[ADVANTAGE] + lane, np.float32(0)
    for slot in range(len(q)):
        total += values[advantages + LANES * slot]
    mean, value = total * (np.float32(1) / np.float32(len(q))), values[facts[VALUE] + lane]
    for slot in range(len(q)):
        q[slot] = value + values[advantages + LANES * slot] - mean


@inlined
def _combine_backward(slopes, facts, lane, q):
    """The slopes of value and advantages of a lane, from those of its Q-values."""
    advantages, total = facts[ADVANTAGE] + lane, np.float32(0)
    for slot in range(len(q)):
        total += q[slot]
    slopes[facts[VALUE] + lane] = total
    mean = total * (np.float32(1) / np.float32(len(q)))
    for slot in range(len(q)):
        slopes[advantages + LANES * slot] = q[slot] - mean


@inlined
def _add_lanes(totals, gradient):
    for weight in range(len(gradient)):
        total = np.float32(0)
        for lane in range(LANES):
            total += totals[LANES * weight + lane]
        gradient[weight] = total

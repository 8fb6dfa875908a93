"""SPANE forward and backward for a batch, without torch.

`LANES` rows go through all layers together, so that what is computed stays in the processor's nearest cache;
the backward pass computes their forward pass again. Sums over rows are made in one order: by lane, then over
the lanes.
"""

# mypy: disable-error-code="no-untyped-def, call-arg"
# Types here are numba's and inferred by it.

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiling import borrowed, compiled, inlined
from spane_rllib.problems.vm_scheduling.networks.base import NODES_PER_SERVER, REQUEST_FEATURES
from spane_rllib.problems.vm_scheduling.networks.kernels import MAX, MEAN, STD
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
    value_at, advantage_at = facts[VALUE], facts[ADVANTAGE]
    slots, features = q.shape[1], servers.shape[1]
    count, share = slots // NODES_PER_SERVER, np.float32(1) / np.float32(slots)
    values, slopes = np.zeros(facts[SIZE], np.float32), np.zeros(facts[SIZE], np.float32)
    totals = np.zeros(LANES * len(gradient), np.float32)
    for first in range(0, len(servers), LANES):
        rows = min(LANES, len(servers) - first)  # of the last ones what lies in other lanes is not read
        for lane in range(rows):
            for feature in range(features):
                values[FEATURES + LANES * feature + lane] = servers[first + lane, feature]
            for feature in range(REQUEST_FEATURES):
                values[facts[REQUEST] + LANES * feature + lane] = request[first + lane, feature]
        _forward(weights, table, values, count)
        if backward:
            for place in range(len(slopes)):
                slopes[place] = np.float32(0)
        for lane in range(rows):  # `base.combine`, and its gradient
            total = np.float32(0)
            for slot in range(slots):
                total += q[first + lane, slot] if backward else values[advantage_at + LANES * slot + lane]
            if backward:
                slopes[value_at + lane] = total
            mean, value = total * share, values[value_at + lane]
            for slot in range(slots):
                place = advantage_at + LANES * slot + lane
                if backward:
                    slopes[place] = q[first + lane, slot] - mean
                else:
                    q[first + lane, slot] = value + values[place] - mean
        if backward:
            _backward(weights, table, values, slopes, totals, count)
    for weight in range(len(gradient)):
        total = np.float32(0)
        for lane in range(LANES):
            total += totals[LANES * weight + lane]
        gradient[weight] = total

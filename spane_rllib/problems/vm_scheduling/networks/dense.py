"""A dense layer on plain arrays that numba compiles to vector instructions.

Numba leaves such small matrix products scalar: its loop vectoriser finds no trip count worth a runtime check
for aliasing. So the innermost block, eight outputs of a layer, is written out in LLVM's vector types, which
is about three times as fast on AVX2 and correct on any processor.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# Types here are numba's and inferred by it.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.networks.vectors import Vectors

BLOCK = 8
"""Outputs computed together; layers are padded to a multiple of it."""


@intrinsic
def _affine_block(
    typing_context, start, start_at, weights, weights_at, inputs, lowest, values, source, target
) -> Any:
    """Eight outputs of a layer: with j = 0..7, writes values[target + j] =
    max(lowest, start[start_at + j] + sum over i of values[source + i] * weights[weights_at + 8i + j]).

    The terms are added in the order of i, one fused multiply-add each where the processor has it.
    """
    signature = types.void(start, start_at, weights, weights_at, inputs, lowest, values, source, target)

    def generate(context, builder, signature, arguments):
        vectors = Vectors(context, builder, signature, arguments, BLOCK)
        _, start_at, _, weights_at, inputs, lowest, _, source, target = arguments
        total = cgutils.alloca_once_value(builder, vectors.load(0, start_at))
        block = ir.Constant(weights_at.type, BLOCK)
        with cgutils.for_range(builder, inputs) as loop:
            value = builder.load(vectors.address(6, builder.add(source, loop.index)))
            row = vectors.load(2, builder.add(weights_at, builder.mul(loop.index, block)))
            builder.store(vectors.multiply_add(vectors.broadcast(value), row, builder.load(total)), total)
        result = vectors.at_least(vectors.broadcast(lowest), builder.load(total))
        vectors.store(result, 6, target)
        return context.get_dummy_value()

    return signature, generate


def _over_rows(begin: Callable[..., Any], combine: Callable[..., Any]) -> Any:
    """An intrinsic that combines the same eight columns of many rows, from the first row to the last:
    values[target + j] of rows[source + stride r + j] and means[mean + j], with j = 0..7.
    """

    @intrinsic
    def over_rows(typing_context, rows, source, stride, count, means, mean, values, target) -> Any:
        signature = types.void(rows, source, stride, count, means, mean, values, target)

        def generate(context, builder, signature, arguments):
            vectors = Vectors(context, builder, signature, arguments, BLOCK)
            _, source, stride, count, _, mean, _, target = arguments
            middle = vectors.load(4, mean)
            total = cgutils.alloca_once_value(builder, begin(builder, vectors.load(0, source), middle))
            with cgutils.for_range(builder, builder.sub(count, count.type(1))) as loop:
                row = builder.mul(builder.add(loop.index, loop.index.type(1)), stride)
                value = vectors.load(0, builder.add(source, row))
                builder.store(combine(builder, builder.load(total), value, middle), total)
            vectors.store(builder.load(total), 6, target)
            return context.get_dummy_value()

        return signature, generate

    return over_rows


def _squared(builder: Any, value: Any, middle: Any) -> Any:
    difference = builder.fsub(value, middle)
    return builder.fmul(difference, difference)


def _larger(builder: Any, total: Any, value: Any, _middle: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", value, total), value, total)


sum_of_rows = _over_rows(
    lambda _builder, value, _middle: value, lambda builder, total, value, _middle: builder.fadd(total, value)
)
largest_of_rows = _over_rows(lambda _builder, value, _middle: value, _larger)
squares_of_rows = _over_rows(
    _squared, lambda builder, total, value, middle: builder.fadd(total, _squared(builder, value, middle))
)


@inlined
def dense(
    weights, layer, start, start_at, rectify, values, source, source_stride, target, target_stride, rows
):
    """One dense layer applied to several rows, from and to the scratch buffer `values`.

    Args:
        weights: weights of all layers.
        layer: row of the layout: inputs, outputs in whole blocks, any, offset of the weights, which lie as
            [output block][input][output in block].
        start, start_at: array and offset of the biases, or of sums to go on from.
        rectify: whether a ReLU follows.
        values: the buffer.
        source, source_stride: offset of the first row's inputs, and from one row to the next.
        target, target_stride: the same of the outputs.
        rows: number of rows.
    """
    inputs, outputs, weights_at = layer[0], layer[1], layer[3]
    lowest = np.float32(0) if rectify else np.float32(-np.inf)
    for row in range(rows):
        for block in range(0, outputs, BLOCK):
            _affine_block(
                start, start_at + block, weights, weights_at + block * inputs, inputs, lowest,
                values, source + row * source_stride, target + row * target_stride + block,
            )  # fmt: skip

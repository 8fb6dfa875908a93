"""Dense layers and their gradients on many rows at once, as vector instructions.

A buffer holds features of `LANES` rows: what feature f is in row r lies at `LANES * f + r`, so every
instruction works on one feature of all rows. `networks.dense` has one row at a time, for acting.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# Types here are numba's and inferred by it.

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.networks.dense import BLOCK
from spane_rllib.problems.vm_scheduling.networks.vectors import Vectors

LANES = 16
"""Rows of a buffer."""
_UNROLLED = 4
"""Sums side by side: one alone would wait for each of its own additions."""


def _layer(count: int) -> Any:
    """An intrinsic for `count` outputs side by side; see `layer`."""

    @intrinsic
    def add(
        typing_context, start, weights, at, step, following, inputs, values, source, lowest, target
    ) -> Any:
        signature = types.void(start, weights, at, step, following, inputs, values, source, lowest, target)

        def generate(context, builder, signature, arguments):
            vectors = Vectors(context, builder, signature, arguments, LANES)
            start, _, at, step, following, inputs, _, source, lowest, target = arguments
            offsets = [ir.Constant(source.type, LANES * output) for output in range(count)]
            starts = [vectors.load(6, builder.add(start, offset)) for offset in offsets]
            sums = [cgutils.alloca_once_value(builder, first) for first in starts]
            with cgutils.for_range(builder, inputs) as loop:
                feature = builder.mul(loop.index, ir.Constant(source.type, LANES))
                value = vectors.load(6, builder.add(source, feature))
                weight = builder.add(at, builder.mul(loop.index, step))
                for total in sums:
                    factor = vectors.broadcast(builder.load(vectors.address(1, weight)))
                    builder.store(vectors.multiply_add(factor, value, builder.load(total)), total)
                    weight = builder.add(weight, following)
            lowest = vectors.broadcast(lowest)
            for offset, total in zip(offsets, sums, strict=True):
                vectors.store(vectors.at_least(lowest, builder.load(total)), 6, builder.add(target, offset))
            return context.get_dummy_value()

        return signature, generate

    return add


_one_output, _some_outputs = _layer(1), _layer(_UNROLLED)


@inlined
def layer(start, weights, at, step, following, inputs, outputs, values, source, lowest, target):
    """A layer on a buffer: for each j < `outputs`, values[target + j] = max(lowest, values[start + j]
    + sum over i < `inputs` of weights[at + step i + following j] values[source + i]).

    `start`, `source` and `target` are offsets in `values`, of which i and j count features.
    """
    done = 0
    while done + _UNROLLED <= outputs:
        place = LANES * done
        _some_outputs(
            start + place, weights, at + done * following, step, following, inputs,
            values, source, lowest, target + place,
        )  # fmt: skip
        done += _UNROLLED
    while done < outputs:
        place = LANES * done
        _one_output(
            start + place, weights, at + done * following, step, following, inputs,
            values, source, lowest, target + place,
        )  # fmt: skip
        done += 1


@inlined
def packed_layer(start, weights, at, inputs, outputs, values, source, lowest, target):
    """`layer` with weights of a `PackedWeights`, at `at`; `outputs` is a multiple of four.

    `start` may be `target`.
    """
    for done in range(0, outputs, _UNROLLED):
        within = done % BLOCK
        _some_outputs(
            start + LANES * done, weights, at + (done - within) * inputs + within, BLOCK, 1, inputs,
            values, source, lowest, target + LANES * done,
        )  # fmt: skip


@intrinsic
def spread(typing_context, numbers, first, features, values, target) -> Any:
    """For each j < `features`: all lanes of values[target + j] = numbers[first + j]."""
    signature = types.void(numbers, first, features, values, target)

    def generate(context, builder, signature, arguments):
        vectors = Vectors(context, builder, signature, arguments, LANES)
        _, first, features, _, target = arguments
        with cgutils.for_range(builder, features) as loop:
            number = builder.load(vectors.address(0, builder.add(first, loop.index)))
            offset = builder.mul(loop.index, ir.Constant(target.type, LANES))
            vectors.store(vectors.broadcast(number), 3, builder.add(target, offset))
        return context.get_dummy_value()

    return signature, generate


def _products(count: int) -> Any:
    """An intrinsic for `count` inputs side by side; see `add_products`."""

    @intrinsic
    def add(
        typing_context, totals, target, values, source, source_stride, slopes, slope, slope_stride, rows
    ) -> Any:
        signature = types.void(
            totals, target, values, source, source_stride, slopes, slope, slope_stride, rows
        )

        def generate(context, builder, signature, arguments):
            vectors = Vectors(context, builder, signature, arguments, LANES)
            _, target, _, source, source_stride, _, slope, slope_stride, rows = arguments
            offsets = [ir.Constant(source.type, LANES * number) for number in range(count)]
            targets = [builder.add(target, offset) for offset in offsets]
            sums = [cgutils.alloca_once_value(builder, vectors.load(0, target)) for target in targets]
            with cgutils.for_range(builder, rows) as row:
                left = vectors.load(5, builder.add(slope, builder.mul(row.index, slope_stride)))
                first = builder.add(source, builder.mul(row.index, source_stride))
                for offset, total in zip(offsets, sums, strict=True):
                    right = vectors.load(2, builder.add(first, offset))
                    builder.store(vectors.multiply_add(left, right, builder.load(total)), total)
            for target, total in zip(targets, sums, strict=True):
                vectors.store(builder.load(total), 0, target)
            return context.get_dummy_value()

        return signature, generate

    return add


_product, _some_products = _products(1), _products(_UNROLLED)


@inlined
def add_products(totals, target, inputs, values, source, source_stride, slopes, slope, slope_stride, rows):
    """For each i < `inputs`: totals[target + i] += sum over r < `rows` of slopes[slope + slope_stride r]
    values[source + source_stride r + i], lane by lane.

    What `rows` applications of a layer contribute to the gradient of the weights of one output, if `values`
    are its inputs and `slopes` that output's.
    """
    done = 0
    while done + _UNROLLED <= inputs:
        place = LANES * done
        _some_products(
            totals, target + place, values, source + place, source_stride, slopes, slope, slope_stride, rows
        )
        done += _UNROLLED
    while done < inputs:
        place = LANES * done
        _product(
            totals, target + place, values, source + place, source_stride, slopes, slope, slope_stride, rows
        )
        done += 1


@intrinsic
def add_rows(typing_context, totals, target, features, values, source, stride, rows, factor) -> Any:
    """For each j < `features`: totals[target + j] += factor * sum over r < `rows` of
    values[source + stride r + j].
    """
    signature = types.void(totals, target, features, values, source, stride, rows, factor)

    def generate(context, builder, signature, arguments):
        vectors = Vectors(context, builder, signature, arguments, LANES)
        _, target, features, _, source, stride, rows, factor = arguments
        factor = vectors.broadcast(factor)
        with cgutils.for_range(builder, features) as loop:
            feature = builder.mul(loop.index, ir.Constant(source.type, LANES))
            place, first = builder.add(target, feature), builder.add(source, feature)
            total = cgutils.alloca_once_value(builder, vectors.zero())
            with cgutils.for_range(builder, rows) as row:
                value = vectors.load(3, builder.add(first, builder.mul(row.index, stride)))
                builder.store(builder.fadd(builder.load(total), value), total)
            vectors.store(vectors.multiply_add(factor, builder.load(total), vectors.load(0, place)), 0, place)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def keep_positive(typing_context, values, slopes, at, features) -> Any:
    """For each j < `features`: slopes[at + j] = 0 unless values[at + j] > 0; the gradient of a ReLU."""
    signature = types.void(values, slopes, at, features)

    def generate(context, builder, signature, arguments):
        vectors = Vectors(context, builder, signature, arguments, LANES)
        _, _, at, features = arguments
        zero = vectors.zero()
        with cgutils.for_range(builder, features) as loop:
            place = builder.add(at, builder.mul(loop.index, ir.Constant(at.type, LANES)))
            positive = builder.fcmp_ordered(">", vectors.load(0, place), zero)
            vectors.store(builder.select(positive, vectors.load(1, place), zero), 1, place)
        return context.get_dummy_value()

    return signature, generate

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

LANES = 16
"""Rows of a buffer."""
_UNROLLED = 4
"""Sums side by side: one alone would wait for each of its own additions."""

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INDEX = ir.IntType(32)


class _Arrays:
    """Addresses, loads and stores of an intrinsic's array arguments."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self._context, self._builder, self._signature = context, builder, signature
        self._arguments = arguments

    def address(self, argument: int, offset: Any) -> Any:
        data = self._context.make_array(self._signature.args[argument])(
            self._context, self._builder, self._arguments[argument]
        ).data
        return self._builder.gep(data, [offset])

    def load(self, pointer: Any) -> Any:
        vector = self._builder.load(self._builder.bitcast(pointer, _VECTOR.as_pointer()))
        vector.align = 4  # the arrays promise no more than the alignment of a float
        return vector

    def store(self, vector: Any, pointer: Any) -> None:
        self._builder.store(vector, self._builder.bitcast(pointer, _VECTOR.as_pointer())).align = 4

    def broadcast(self, number: Any) -> Any:
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        single = self._builder.insert_element(undefined, number, ir.Constant(_INDEX, 0))
        return self._builder.shuffle_vector(
            single, undefined, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES)
        )

    def multiply_add(self, left: Any, right: Any, total: Any) -> Any:
        product = self._builder.fmul(left, right, flags=("contract",))
        return self._builder.fadd(total, product, flags=("contract",))


def _affine(count: int, biased: bool) -> Any:
    """An intrinsic for `count` outputs side by side; see `affine`, and `continued` where not `biased`."""

    @intrinsic
    def add(
        typing_context, start, start_at, weights, at, step, following, inputs, values, source, lowest, target
    ) -> Any:
        signature = types.void(
            start, start_at, weights, at, step, following, inputs, values, source, lowest, target
        )

        def generate(context, builder, signature, arguments):
            arrays = _Arrays(context, builder, signature, arguments)
            _, start, _, at, step, following, inputs, _, source, lowest, target = arguments
            lanes = ir.Constant(source.type, LANES)
            sums = []
            for output in range(count):
                if biased:
                    number = ir.Constant(source.type, output)
                    total = arrays.broadcast(builder.load(arrays.address(0, builder.add(start, number))))
                else:
                    offset = ir.Constant(source.type, LANES * output)
                    total = arrays.load(arrays.address(0, builder.add(start, offset)))
                sums.append(cgutils.alloca_once_value(builder, total))
            with cgutils.for_range(builder, inputs) as loop:
                value = arrays.load(arrays.address(7, builder.add(source, builder.mul(loop.index, lanes))))
                weight = builder.add(at, builder.mul(loop.index, step))
                for total in sums:
                    factor = arrays.broadcast(builder.load(arrays.address(2, weight)))
                    builder.store(arrays.multiply_add(factor, value, builder.load(total)), total)
                    weight = builder.add(weight, following)
            lowest = arrays.broadcast(lowest)
            for output, total in enumerate(sums):
                result = builder.load(total)
                result = builder.select(builder.fcmp_unordered(">", result, lowest), result, lowest)
                offset = ir.Constant(source.type, LANES * output)
                arrays.store(result, arrays.address(7, builder.add(target, offset)))
            return context.get_dummy_value()

        return signature, generate

    return add


_affine_one, _affine_some = _affine(1, True), _affine(_UNROLLED, True)
_continued_one, _continued_some = _affine(1, False), _affine(_UNROLLED, False)


@inlined
def affine(weights, bias, at, step, following, inputs, outputs, values, source, lowest, target):
    """A layer on a buffer: for each j < `outputs`, values[target + j] = max(lowest, weights[bias + j]
    + sum over i < `inputs` of weights[at + step i + following j] values[source + i]).

    `source` and `target` are offsets in `values`, of which i and j count features.
    """
    done = 0
    while done + _UNROLLED <= outputs:
        _affine_some(
            weights, bias + done, weights, at + done * following, step, following, inputs,
            values, source, lowest, target + LANES * done,
        )  # fmt: skip
        done += _UNROLLED
    while done < outputs:
        _affine_one(
            weights, bias + done, weights, at + done * following, step, following, inputs,
            values, source, lowest, target + LANES * done,
        )  # fmt: skip
        done += 1


@inlined
def continued(weights, start, at, step, following, inputs, outputs, values, source, lowest, target):
    """The same, from sums in values[start + j] on in place of biases."""
    done = 0
    while done + _UNROLLED <= outputs:
        _continued_some(
            values, start + LANES * done, weights, at + done * following, step, following, inputs,
            values, source, lowest, target + LANES * done,
        )  # fmt: skip
        done += _UNROLLED
    while done < outputs:
        _continued_one(
            values, start + LANES * done, weights, at + done * following, step, following, inputs,
            values, source, lowest, target + LANES * done,
        )  # fmt: skip
        done += 1


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
            arrays = _Arrays(context, builder, signature, arguments)
            _, target, _, source, source_stride, _, slope, slope_stride, rows = arguments
            offsets = [ir.Constant(source.type, LANES * number) for number in range(count)]
            pointers = [arrays.address(0, builder.add(target, offset)) for offset in offsets]
            sums = [cgutils.alloca_once_value(builder, arrays.load(pointer)) for pointer in pointers]
            with cgutils.for_range(builder, rows) as row:
                left = arrays.load(
                    arrays.address(5, builder.add(slope, builder.mul(row.index, slope_stride)))
                )
                first = builder.add(source, builder.mul(row.index, source_stride))
                for offset, total in zip(offsets, sums, strict=True):
                    right = arrays.load(arrays.address(2, builder.add(first, offset)))
                    builder.store(arrays.multiply_add(left, right, builder.load(total)), total)
            for pointer, total in zip(pointers, sums, strict=True):
                arrays.store(builder.load(total), pointer)
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
        arrays = _Arrays(context, builder, signature, arguments)
        _, target, features, _, source, stride, rows, factor = arguments
        lanes, factor = ir.Constant(source.type, LANES), arrays.broadcast(factor)
        with cgutils.for_range(builder, features) as loop:
            feature = builder.mul(loop.index, lanes)
            pointer, first = arrays.address(0, builder.add(target, feature)), builder.add(source, feature)
            total = cgutils.alloca_once_value(builder, ir.Constant(_VECTOR, [0.0] * LANES))
            with cgutils.for_range(builder, rows) as row:
                value = arrays.load(arrays.address(3, builder.add(first, builder.mul(row.index, stride))))
                builder.store(builder.fadd(builder.load(total), value), total)
            arrays.store(arrays.multiply_add(factor, builder.load(total), arrays.load(pointer)), pointer)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def keep_positive(typing_context, values, slopes, at, features) -> Any:
    """For each j < `features`: slopes[at + j] = 0 unless values[at + j] > 0; the gradient of a ReLU."""
    signature = types.void(values, slopes, at, features)

    def generate(context, builder, signature, arguments):
        arrays = _Arrays(context, builder, signature, arguments)
        _, _, at, features = arguments
        zero = ir.Constant(_VECTOR, [0.0] * LANES)
        with cgutils.for_range(builder, features) as loop:
            offset = builder.add(at, builder.mul(loop.index, ir.Constant(at.type, LANES)))
            pointer = arrays.address(1, offset)
            positive = builder.fcmp_ordered(">", arrays.load(arrays.address(0, offset)), zero)
            arrays.store(builder.select(positive, arrays.load(pointer), zero), pointer)
        return context.get_dummy_value()

    return signature, generate

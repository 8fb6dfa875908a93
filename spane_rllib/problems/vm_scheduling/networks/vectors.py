"""Vector instructions for numba: what the intrinsics of the modules beside this one are written with."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

from llvmlite import ir

_INDEX = ir.IntType(32)


class Vectors:
    """Loads, stores and arithmetic of vectors of `width` numbers from the array arguments of an intrinsic.

    Args:
        context, builder, signature, arguments: what numba gives to the intrinsic.
        width: numbers of a vector.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any, width: int) -> None:
        self._builder, self._width = builder, width
        self._type = ir.VectorType(ir.FloatType(), width)
        self._data = [
            context.make_array(kind)(context, builder, argument).data if hasattr(kind, "ndim") else None
            for kind, argument in zip(signature.args, arguments, strict=True)
        ]
        self._kinds: list[Any] = [
            ir.VectorType(context.get_data_type(kind.dtype), width) if hasattr(kind, "ndim") else None
            for kind in signature.args
        ]

    def address(self, argument: int, offset: Any) -> Any:
        """Of one number of an array argument."""
        return self._builder.gep(self._data[argument], [offset])

    def load(self, argument: int, offset: Any) -> Any:
        """The vector from `offset` of an array argument on."""
        vector = self._builder.load(self._vectors(argument, offset))
        vector.align = 4  # the arrays promise no more than the alignment of a number
        return vector

    def store(self, vector: Any, argument: int, offset: Any) -> None:
        """Write a vector to `offset` of an array argument."""
        self._builder.store(vector, self._vectors(argument, offset)).align = 4

    def broadcast(self, number: Any) -> Any:
        """A vector of equal numbers."""
        undefined = ir.Constant(ir.VectorType(number.type, self._width), ir.Undefined)
        single = self._builder.insert_element(undefined, number, ir.Constant(_INDEX, 0))
        zeros = ir.Constant(ir.VectorType(_INDEX, self._width), [0] * self._width)
        return self._builder.shuffle_vector(single, undefined, zeros)

    def zero(self) -> Any:
        """A vector of zeros."""
        return ir.Constant(self._type, [0.0] * self._width)

    def multiply_add(self, left: Any, right: Any, total: Any) -> Any:
        """`left` * `right` + `total`, in one instruction where the processor has it."""
        product = self._builder.fmul(left, right, flags=("contract",))
        return self._builder.fadd(total, product, flags=("contract",))

    def at_least(self, lowest: Any, vector: Any) -> Any:
        """The larger of both, number by number; NaN stays."""
        larger = self._builder.fcmp_unordered(">", vector, lowest)
        return self._builder.select(larger, vector, lowest)

    def _vectors(self, argument: int, offset: Any) -> Any:
        return self._builder.bitcast(self.address(argument, offset), self._kinds[argument].as_pointer())

"""The tree of a `Ranking` brought up to date, as vector instructions.

Numba does not find them: written as loops, it takes three times as long.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, no-any-return"
# Types here are numba's and inferred by it.

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

CHILD_BITS = 2
CHILDREN = 1 << CHILD_BITS
"""Of a node; those of node k are nodes 4 k to 4 k + 3."""
WIDTH = 16
"""Columns that are compared together."""
_ALIGNED = 4  # bytes


def _climb(_typing_context, least, node):
    """Bring all nodes above `node` up to date, each of which is the least of its children.

    `least` is (nodes, K) int32, and K a multiple of `WIDTH`.
    """
    signature = types.void(least, node)

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        columns, vector = builder.extract_value(array.shape, 1), ir.VectorType(ir.IntType(32), WIDTH)
        none, one = ir.Constant(columns.type, 0), ir.Constant(columns.type, 1)

        def row(node, column):
            number = builder.gep(array.data, [builder.add(builder.mul(node, columns), column)])
            return builder.bitcast(number, vector.as_pointer())

        step = ir.Constant(columns.type, WIDTH)
        with cgutils.for_range_slice(builder, none, columns, step, columns.type) as (column, _):
            leaf = builder.load(row(arguments[1], column), align=_ALIGNED)
            before, upwards = builder.block, builder.append_basic_block("upwards")
            root = builder.append_basic_block("root")
            builder.cbranch(builder.icmp_signed(">", arguments[1], one), upwards, root)
            builder.position_at_end(upwards)
            mine, child = builder.phi(vector), builder.phi(columns.type)
            least = mine
            for other in range(1, CHILDREN):
                place = builder.xor(child, ir.Constant(child.type, other))
                sibling = builder.load(row(place, column), align=_ALIGNED)
                least = builder.select(builder.icmp_signed("<", sibling, least), sibling, least)
            parent = builder.udiv(child, ir.Constant(child.type, CHILDREN))
            builder.store(least, row(parent, column), align=_ALIGNED)
            for value, first, later in ((mine, leaf, least), (child, arguments[1], parent)):
                value.add_incoming(first, before)
                value.add_incoming(later, upwards)
            builder.cbranch(builder.icmp_signed(">", parent, one), upwards, root)
            builder.position_at_end(root)
        return context.get_dummy_value()

    return signature, generate


climb: Any = intrinsic(_climb)

"""The one place where a pickle is read: only plain values and numeric arrays come out of it.

Old VMAgent recordings are pickles. A pickle is a program, so three walls stand between it and this process:
only harmless opcodes pass (`_OPCODES`), a name in it never gives the object of that name but one of the few
stand-ins below (`_STAND_INS`), and no code of NumPy sees what the file says about an array before
`_Array.__setstate__` has checked it.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any, NamedTuple

import numpy as np

LARGEST = 2**28  # bytes
_LARGEST_TUPLE = 100
_NUMERIC = frozenset(f"{kind}{size}" for kind in "iuf" for size in (1, 2, 4, 8)) - {"f1"} | {"b1"}
_OPCODES = """
PROTO FRAME STOP MARK POP POP_MARK DUP PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET MEMOIZE
NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT
STRING BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8
BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS
GLOBAL STACK_GLOBAL REDUCE BUILD
"""


class _Item(NamedTuple):
    """What is known of a value on the stack of a pickle."""

    is_text: bool
    size: int  # of a tuple: it and all in it, as often as they occur


_MARK = _Item(False, 0)


def load_plain(data: bytes) -> Any:
    """The numbers, strings, lists, tuples, dicts and numeric arrays in a pickle.

    Raises:
        ValueError: it is damaged, or there is anything else in it; no code but this module's has been run.
    """
    try:
        check_operations(io.BytesIO(data), frozenset(_OPCODES.split()))
        return _RestrictedUnpickler(io.BytesIO(data)).load()
    except ValueError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"damaged pickle: {error}") from error


def check_operations(stream: io.BytesIO, allowed: frozenset[str] | None = None) -> None:
    """Follow the operations of the pickle that comes next in `stream`, without running any of them.

    Raises:
        ValueError: one is not `allowed` (None: all are), or they make what takes long to hash: a key that is
            no text, or a tuple of more than `_LARGEST_TUPLE` values, those of tuples in it included.
        IndexError, KeyError: the pickle is damaged.
    """
    stack: list[_Item] = []
    memo: dict[int, _Item] = {}
    longest = stream.getbuffer().nbytes
    # This also proves that no string is announced to be longer than the file.
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if allowed is not None and name not in allowed:
            raise ValueError(f"a pickle with the operation {name} is not read")
        if name.endswith("PUT"):
            # The memo is a table as long as its largest index.
            if not 0 <= int(argument or 0) < longest:
                raise ValueError("a memo index is out of range")
            memo[int(argument or 0)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name.endswith("GET"):
            stack.append(memo[int(argument or 0)])
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            _follow(opcode, stack)


def _follow(opcode: pickletools.OpcodeInfo, stack: list[_Item]) -> None:
    """Take from the stack, and put on it, what the table of operations says."""
    if opcode.name == "POP" and stack[-1] is _MARK:
        stack.pop()
        return
    taken: list[_Item] = []
    for kind in reversed(opcode.stack_before):
        if kind is pickletools.stackslice:
            while stack[-1] is not _MARK:
                taken.append(stack.pop())
        else:
            taken.append(stack.pop())
    taken.reverse()
    if opcode.name in ("SETITEM", "SETITEMS", "DICT"):
        # In pairs with their values, behind the dictionary and the mark where there are any.
        keys = taken[{"SETITEM": 1, "SETITEMS": 2, "DICT": 1}[opcode.name] :: 2]
        if not all(key.is_text for key in keys):
            raise ValueError("a key that is no text")
    size = 1
    if opcode.name.startswith(("TUPLE", "EMPTY_TUPLE")):
        size += sum(item.size for item in taken)
        if size > _LARGEST_TUPLE:
            raise ValueError("a tuple of too many values")
    for kind in opcode.stack_after:
        is_text = kind in (pickletools.pyunicode, pickletools.pybytes_or_str)
        stack.append(_MARK if kind is pickletools.markobject else _Item(is_text, size))


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        stand_in = _STAND_INS.get((module.replace("numpy._core", "numpy.core"), name))
        if stand_in is None:
            raise ValueError(f"a pickle that names {module}.{name} is not read, since it could run code")
        return stand_in


class _StandIn:
    """What the file may call. `__setstate__` also keeps BUILD from setting attributes of the class itself."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise ValueError("a state is set where there is none")


class _Dtype(_StandIn):
    """Stands in for `numpy.dtype`: a numeric type in one of the two byte orders."""

    __slots__ = ("numpy",)

    def __init__(self, code: str, _align: object = False, _copy: object = True) -> None:
        if code not in _NUMERIC:
            raise ValueError("an array in it is not of plain numbers")
        self.numpy = np.dtype(code)

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise ValueError("the type of an array is damaged")
        self.numpy = self.numpy.newbyteorder(state[1])


class _Array(_StandIn):
    """Stands in for `numpy.ndarray` and for the function that makes an empty one; `as_array` unwraps it."""

    __slots__ = ("numpy",)

    def __init__(self, *_ignored: object) -> None:
        self.numpy = np.empty(0)

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("an array is damaged")
        _, shape, dtype, fortran, data = state
        self.numpy = _array(data, dtype, shape, "F" if fortran else "C")


class _FromBuffer(_StandIn):
    """Stands in for the function that protocol 5 makes arrays with."""

    def __new__(cls, data: object, dtype: object, shape: object, order: object) -> Any:
        array = _Array()
        array.numpy = _array(data, dtype, shape, order)
        return array


class _Scalar(_StandIn):
    """Stands in for the function that makes NumPy scalars; gives plain numbers."""

    def __new__(cls, dtype: object, data: object) -> Any:
        return _array(data, dtype, (), "C").item()


class _Encode(_StandIn):
    """Stands in for `_codecs.encode`, by which old protocols write bytes."""

    def __new__(cls, text: object, encoding: object) -> Any:
        if not isinstance(text, str) or encoding != "latin1":
            raise ValueError("bytes are damaged")
        return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], type[_StandIn]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer,
    ("_codecs", "encode"): _Encode,
}


def _array(data: object, dtype: object, shape: object, order: object) -> np.ndarray[Any, Any]:
    if not isinstance(data, bytes | bytearray) or not isinstance(dtype, _Dtype) or order not in ("C", "F"):
        raise ValueError("an array is damaged")
    if not isinstance(shape, tuple) or len(shape) > 4 or not all(type(size) is int for size in shape):
        raise ValueError("the shape of an array is damaged")
    flat = np.frombuffer(data, dtype.numpy) if data else np.empty(0, dtype.numpy)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def as_array(value: object) -> np.ndarray[Any, Any]:
    """The array that `value`, found in what `load_plain` gave, stands for.

    Raises:
        ValueError: it is no array.
    """
    if not isinstance(value, _Array):
        raise ValueError("an array is missing")
    return value.numpy

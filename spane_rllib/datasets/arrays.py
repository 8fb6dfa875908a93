"""NumPy arrays on disk, with one clear line for everything that can be wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.core.reading import opened

MAX_VALUES = 200_000_000


def map_array(file: Path) -> npt.NDArray[Any]:
    """The array in a `.npy` file, memory-mapped: sizes made up in its header cost nothing.

    Raises:
        UserError: the file cannot be read, is no `.npy` array of plain values, or has more of them
            than `MAX_VALUES`.
    """
    with opened(file):
        try:
            array = np.lib.format.open_memmap(file, mode="r")
        except OSError:
            raise
        except Exception as error:  # the header is a Python literal, and a damaged one can raise anything
            raise UserError(f"{file}: not a readable .npy array ({error}); write the file again") from error
    if array.size > MAX_VALUES:  # a file with holes may be of any length
        raise UserError(f"{file}: {array.size:,} values; read are at most {MAX_VALUES:,}")
    return array

"""NumPy arrays on disk, with one clear line for everything that can be wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.text import reading


def map_array(file: Path) -> npt.NDArray[Any]:
    """The array in a `.npy` file, memory-mapped: sizes made up in its header cost nothing.

    Raises:
        UserError: the file cannot be read or is no `.npy` array of plain values.
    """
    with reading(file):
        try:
            return np.lib.format.open_memmap(file, mode="r")
        except OSError:
            raise
        except Exception as error:  # the header is a Python literal, and a damaged one can raise anything
            raise UserError(f"{file}: not a readable .npy array ({error}); write the file again") from error

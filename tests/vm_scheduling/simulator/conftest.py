"""The real trace, where there is one."""

import os
from pathlib import Path

import numpy as np
import pytest

from spane_rllib.datasets.vm_traces.trace import VmTrace

TRACE_FILE = "Huawei-East-1-lt.csv"


@pytest.fixture(scope="session")
def huawei_trace() -> VmTrace:
    """The trace the golden figures were made on; skips where `SPANE_RLLIB_DATA` does not lead to it."""
    place = Path(os.environ.get("SPANE_RLLIB_DATA", ""))
    path = place / TRACE_FILE if place.is_dir() else place
    if path.name != TRACE_FILE or not path.is_file():
        pytest.skip(f"needs {TRACE_FILE}: set SPANE_RLLIB_DATA to it or to its folder")
    _, cpu, memory, arrival, lifetime = np.loadtxt(path, delimiter=",", skiprows=1, unpack=True)
    return VmTrace(cpu, memory, arrival, lifetime, path.stem)

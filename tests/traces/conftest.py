import os
from pathlib import Path

import numpy as np
import pytest

from spane_rllib.core import shared
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces import loading
from spane_rllib.datasets.vm_traces.trace import VmTrace


@pytest.fixture
def trace() -> VmTrace:
    """Four VMs small enough to check by hand."""
    return VmTrace(
        cpu=np.array([1.0, 4.0, 1.0, 64.0]),
        memory=np.array([2.0, 8.0, 2.0, 128.0]),
        arrival=np.array([0.0, 10.0, 10.0, 40.0]),
        lifetime=np.array([30.0, 20.0, 5.0, 100.0]),
        name="four",
    )


@pytest.fixture
def huawei_file() -> Path:
    """The lifetime form of Huawei-East-1, found through SPANE_RLLIB_DATA."""
    source = os.environ.get(loading.DATA_VARIABLE)
    if not source:
        pytest.skip(f"{loading.DATA_VARIABLE} is not set")
    try:
        path = loading.resolve_source(source)
    except UserError as error:
        pytest.skip(str(error))
    if not isinstance(path, Path) or not path.name.startswith("Huawei-East-1-lt"):
        pytest.skip(f"{loading.DATA_VARIABLE} is not the lifetime form of Huawei-East-1")
    return path


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_traces", {})
    monkeypatch.setattr(shared, "_PROVIDED", {})

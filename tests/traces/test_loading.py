"""Sources: paths, folders, the synthetic trace, the environment variable, and the cache of the process."""

import os
from pathlib import Path

import numpy as np
import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.core.shared import provide
from spane_rllib.datasets.vm_traces.loading import describe_source, load_trace
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.datasets.vm_traces.writers import write_trace


def test_a_trace_is_returned_as_is(trace: VmTrace) -> None:
    assert load_trace(trace) is trace


def test_a_file_is_read_once_until_it_changes(trace: VmTrace, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    write_trace(trace, path)
    first = load_trace(path)
    assert first.sha256 == trace.sha256
    assert load_trace(os.path.relpath(path)) is first
    assert load_trace(path, never_ending="keep") is not first
    shorter = VmTrace(trace.cpu[:2], trace.memory[:2], trace.arrival[:2], trace.lifetime[:2])
    write_trace(shorter, path)
    assert len(load_trace(path)) == 2


def test_a_provided_trace_needs_no_file(trace: VmTrace) -> None:
    provide("/on/another/machine.csv", trace)
    assert load_trace("/on/another/machine.csv") is trace
    provide("auto", trace)
    assert load_trace("auto") is trace


def test_synthetic_sources() -> None:
    small = load_trace("synthetic:vms=500,seed=3")
    assert len(small) == 500
    assert load_trace("synthetic: seed=3, vms=500") is small
    assert load_trace("synthetic:vms=500,seed=4").sha256 != small.sha256


@pytest.mark.parametrize(
    "source", ["synthetic:vms=x", "synthetic:size=4", "synthetic:vms=-1", "synthetic:vms"]
)
def test_bad_synthetic_sources(source: str) -> None:
    with pytest.raises(UserError, match="write synthetic:vms=20000,seed=3"):
        load_trace(source)


def test_no_vms_at_all() -> None:
    with pytest.raises(UserError, match="vms of 1 to"):
        load_trace("synthetic:vms=0")


def test_a_folder_must_hold_exactly_one_known_dataset(trace: VmTrace, tmp_path: Path) -> None:
    write_trace(trace, tmp_path / "mine.csv")
    with pytest.raises(UserError, match=r"no known dataset in .*Huawei-East-1-lt\.csv"):
        load_trace(tmp_path)
    write_trace(trace, tmp_path / "Huawei-East-1-lt.csv")
    assert load_trace(tmp_path).sha256 == trace.sha256
    write_trace(trace, tmp_path / "Huawei-East-1.csv.gz")
    with pytest.raises(UserError, match="give the path of one file"):
        load_trace(tmp_path)


def test_auto_follows_the_environment_variable(
    trace: VmTrace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_trace(trace, tmp_path / "trace.npy")
    monkeypatch.setenv("SPANE_RLLIB_DATA", str(tmp_path / "trace.npy"))
    assert load_trace().sha256 == trace.sha256
    monkeypatch.setenv("SPANE_RLLIB_DATA", str(tmp_path / "absent"))
    assert load_trace("auto").name.startswith("synthetic")
    assert "using the synthetic trace" in caplog.text
    monkeypatch.delenv("SPANE_RLLIB_DATA")
    assert load_trace(None) is load_trace("synthetic")


def test_absent_file() -> None:
    with pytest.raises(UserError, match=r"no trace at no/such\.csv; give a file"):
        load_trace("no/such.csv")


def test_describe_source(trace: VmTrace) -> None:
    assert describe_source(trace) == f"four, 4 VMs, content sha256 {trace.sha256[:12]}"
    other = VmTrace(trace.cpu, trace.memory, trace.arrival, np.ones(4), name="four")
    assert describe_source(other) != describe_source(trace)

"""Writing: what is written reads back bit for bit, and nothing half-written stays behind."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.readers import read_trace
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.datasets.vm_traces.writers import SUFFIXES, write_trace

positive = st.floats(min_value=1e-6, max_value=2.0**53) | st.integers(1, 2**53).map(float)
vms = st.lists(st.tuples(positive, positive, st.floats(min_value=0, max_value=2.0**53), positive), min_size=1)


@settings(max_examples=60)
@given(rows=vms, suffix=st.sampled_from(SUFFIXES))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list, suffix: str) -> None:
    cpu, memory, arrival, lifetime = np.array(rows).T
    trace = VmTrace(cpu, memory, np.sort(arrival), lifetime)
    path = tmp_path_factory.mktemp("round_trip") / f"trace{suffix}"
    write_trace(trace, path)
    assert read_trace(path).trace.sha256 == trace.sha256


def test_csv_text(trace: VmTrace, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    write_trace(trace, path)
    assert path.read_text() == ("vmid,cpu,mem,at,lt\n0,1,2,0,30\n1,4,8,10,20\n2,1,2,10,5\n3,64,128,40,100\n")


def test_gzip_files_of_equal_traces_are_equal(trace: VmTrace, tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv.gz", tmp_path / "b.csv.gz"
    write_trace(trace, first)
    write_trace(trace, second)
    assert first.read_bytes() == second.read_bytes()


def test_vms_that_never_end_need_npy(trace: VmTrace, tmp_path: Path) -> None:
    endless = VmTrace(trace.cpu, trace.memory, trace.arrival, np.full(4, np.inf))
    with pytest.raises(UserError, match=r"never end; write \.npy"):
        write_trace(endless, tmp_path / "trace.csv")
    write_trace(endless, tmp_path / "trace.npy")
    assert read_trace(tmp_path / "trace.npy", never_ending="keep").trace.sha256 == endless.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["trace.npy"]


def test_unknown_suffix(trace: VmTrace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.csv, \.csv\.gz, \.npy"):
        write_trace(trace, tmp_path / "trace.parquet")

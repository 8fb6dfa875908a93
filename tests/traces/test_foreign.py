"""`data convert --columns`: VM tables with other columns and units."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from spane_rllib.__main__ import main
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.foreign import parse_columns, read_foreign
from spane_rllib.datasets.vm_traces.readers import read_trace

TABLE = """name,vcpus,start,stop,gib,zone
"b, the second",4,61000,91000,8,x
a,2,1000,3000,4,y
c,100,61500,,200,x
"""
COLUMNS = "cpu=vcpus,memory=gib,arrival=start,end=stop"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "vms.csv.gz"
    path.write_bytes(gzip.compress(TABLE.encode()))
    return path


def test_columns_units_and_order(table: Path) -> None:
    reading = read_foreign(table, parse_columns(COLUMNS), time_unit="ms", never_ending="keep")
    trace = reading.trace
    assert (trace.name, reading.report.rows, reading.report.never_ending) == ("vms", 3, 1)
    assert trace.cpu.tolist() == [2, 4, 100] and trace.memory.tolist() == [4, 8, 200]
    assert trace.arrival.tolist() == [0, 60, 60.5]
    assert trace.lifetime.tolist() == [2, 30, np.inf]
    lifetimes = read_foreign(table, parse_columns("cpu=vcpus,memory=gib,arrival=start,lifetime=stop"))
    assert lifetimes.trace.lifetime.tolist() == [3000, 91000]


def test_the_command(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.csv"
    command = ["data", "convert", str(table), str(target), "--columns", COLUMNS, "--time-unit", "ms"]
    assert main([*command, "--never-ending", "keep", "--drop-oversize", "40x90"]) == 0
    output = capsys.readouterr().out
    assert "3 rows, 3 VMs kept" in output and "dropped 1: no empty server of 2 x (40x90) holds it" in output
    trace = read_trace(target).trace
    assert trace.arrival.tolist() == [0, 60] and trace.lifetime.tolist() == [2, 30]
    for option, text in (
        ("--drop-oversize=forty", "is not CORESxGIB"),
        ("--drop-oversize=1x1", "no VM fits"),
    ):
        assert main([*command, option]) == 2
        assert text in capsys.readouterr().err
    assert main(["data", "convert", str(target), str(tmp_path / "x.npy"), "--time-unit", "ms"]) == 2
    assert "only allowed with argument --columns" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ("cpu", "'cpu' is not FIELD=COLUMN"),
        ("cpus=a", "did you mean cpu?"),
        ("cpu=a,cpu=b", "cpu is given twice"),
        ("cpu=a,memory=b,lifetime=c", "arrival is missing"),
        ("cpu=a,memory=b,arrival=c", "give just one of lifetime and end"),
        ("cpu=a,memory=b,arrival=c,end=d,lifetime=e", "give just one of lifetime and end"),
    ],
)
def test_bad_columns(columns: str, text: str) -> None:
    with pytest.raises(UserError) as error:
        parse_columns(columns)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("a,2,1,2", "row 5: a row must have 6 values, got 4"),
        ("a,two,1000,3000,4,y", "row 5: vcpus must be a number, got 'two'"),
        ("a,0,1000,3000,4,y", "row 5: cpu must be more than 0"),
        ("a,2,3000,1000,4,y", "row 5: lt must be more than 0"),
        ("a,2,nan,1000,4,y", "row 5: at must be finite"),
        ('a,2,"3000', "not a CSV table"),
    ],
)
def test_bad_rows(line: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(TABLE + line)
    with pytest.raises(UserError, match=text):
        read_foreign(path, parse_columns(COLUMNS))
    if "CSV" not in text:
        skipped = read_foreign(path, parse_columns(COLUMNS), skip_invalid=True)
        assert len(skipped.trace) == 2 and sum(skipped.report.skipped.values()) == 1


def test_a_column_that_is_not_there(table: Path) -> None:
    with pytest.raises(UserError, match=r"no column 'vcpu'; did you mean vcpus\?; it has name, vcpus"):
        read_foreign(table, parse_columns(COLUMNS.replace("vcpus", "vcpu")))

"""`data convert --form`: small files of the shapes that Azure, Alibaba and Google document."""

import gzip
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from spane_rllib.__main__ import main
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.catalog import DATASETS, PUBLIC_FORMS
from spane_rllib.datasets.vm_traces.public_tables import read_public
from spane_rllib.datasets.vm_traces.readers import read_trace

MACHINE = (64.0, 256.0)
AZURE = """a,s,d,0,900,50,10,40,Unknown,2,4
b,s,d,300,600,50,10,40,Interactive,>24,32
c,s,d,300,300,50,10,40,Delay-insensitive,8,>64
d,s,d,600,1500,50,10,40,Unknown,4,32
e,s,d,900,900,50,10,40,Unknown,4,32
"""
ALIBABA = """M1,3,j_1,1,Terminated,86400,86500,100,0.5
R2_1,1,j_1,1,Terminated,86450,86460,50,1
task_x,1,j_2,1,Terminated,0,100,100,0.5
M1,1,j_3,1,Running,86470,0,100,0.5
M1,1,j_4,1,Failed,86480,86490,,
"""
# timestamp, missing, job, task, machine, event, user, class, priority, cpu, memory, disk, different
GOOGLE_2011 = """0,2,1,0,,0,u,1,2,0.5,0.25,0,
1000000,,1,0,7,1,u,1,2,0.5,0.25,0,
600000000,,2,0,,0,u,1,2,0.25,0.125,0,
601000000,,2,0,7,1,u,1,2,0.25,0.125,0,
602000000,,3,0,,0,u,1,2,0.125,0.125,0,
603000000,,3,0,7,1,u,1,2,0.125,0.125,0,
604000000,,2,0,7,4,u,1,2,0.25,0.125,0,
605000000,,2,1,,0,u,1,2,,,0,
606000000,,2,1,7,1,u,1,2,,,0,
607000000,,2,1,7,4,u,1,2,,,0,
9223372036854775807,,3,0,7,4,u,1,2,0.125,0.125,0,
"""
GOOGLE_2019 = """time,type,collection_id,instance_index,resource_request.cpus,resource_request.memory
700000000,0,5,0,0.5,0.5
705000000,3,5,0,0.5,0.5
706000000,4,5,0,0.5,0.5
707000000,3,5,0,0.5,0.5
709000000,6,5,0,0.5,0.5
"""


def packing(path: Path) -> Path:
    """An SQLite file as the trace for packing is documented."""
    base = sqlite3.connect(path)
    base.execute(
        "CREATE TABLE vmType (id INTEGER, vmTypeId INTEGER, machineId INTEGER, core REAL, memory REAL, "
        "hdd REAL, ssd REAL, nic REAL)"
    )
    base.execute(
        "CREATE TABLE vm (vmId INTEGER, tenantId INTEGER, vmTypeId INTEGER, priority INTEGER, "
        "starttime REAL, endtime REAL)"
    )
    types = [(1, 1, 0, 0.5, 0.5), (2, 1, 4, 0.25, 0.125), (3, 2, 4, 0.5, 0.25), (4, 3, 0, 1, 1)]
    base.executemany("INSERT INTO vmType VALUES (?, ?, ?, ?, ?, 0, 0, 0)", types)
    vms = [(1, 1, 2.0, 3.0), (2, 2, 1.5, None), (3, 1, -0.5, 1.0), (4, 3, 1.0, 2.0), (5, 2, 1.25, 1.75)]
    base.executemany("INSERT INTO vm VALUES (?, 0, ?, 0, ?, ?)", vms)
    base.commit()
    base.close()
    return path


def test_azure_packing(tmp_path: Path) -> None:
    path = packing(tmp_path / "packing_trace_zone_a_v1.sqlite")
    reading = read_public(path, "azure-packing2020", machine=MACHINE, never_ending="keep")
    # Machine 4 holds types 1 and 2, four of the five VMs.
    assert reading.trace.cpu.tolist() == [32, 32, 16] and reading.trace.memory.tolist() == [64, 64, 32]
    assert reading.trace.arrival.tolist() == [0, 21600, 64800]
    assert reading.trace.lifetime.tolist() == [43200, np.inf, 86400]
    assert (reading.report.rows, reading.report.kept, reading.report.never_ending) == (5, 3, 1)
    assert reading.report.skipped == {
        "a VM type that machine 4 cannot hold": 1,
        "began before the records did": 1,
    }


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("UPDATE vm SET starttime = 'soon' WHERE vmId = 2", "table vm, row 2: starttime must be a number"),
        ("UPDATE vmType SET core = NULL WHERE id = 3", "table vmType, row 3: core must be a number"),
        ("DROP TABLE vm", "has no table vm"),
        ("DROP TABLE vm; CREATE VIEW vm AS SELECT 1 AS vmTypeId", "has no table vm"),
        ("ALTER TABLE vm RENAME COLUMN endtime TO stop", "not the published SQLite file: no such column"),
        ("DELETE FROM vmType", "vmType is empty"),
        ("DELETE FROM vm", "no VM is left of 0 rows"),
    ],
)
def test_damaged_azure_packing(sql: str, text: str, tmp_path: Path) -> None:
    path = packing(tmp_path / "bad.sqlite")
    base = sqlite3.connect(path)
    base.executescript(sql)
    base.close()
    with pytest.raises(UserError, match=text):
        read_public(path, "azure-packing2020", machine=MACHINE)


def test_no_sqlite_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match="no SQLite file; unpack"):
        read_public(path, "azure-packing2020", machine=MACHINE)
    path.write_bytes(b"SQLite format 3\x00" + bytes(100))
    with pytest.raises(UserError, match="not the published SQLite file"):
        read_public(path, "azure-packing2020", machine=MACHINE)


def test_azure_vmtable(tmp_path: Path) -> None:
    path = tmp_path / "vmtable.csv.gz"
    path.write_bytes(gzip.compress(AZURE.encode()))
    reading = read_public(path, "azure-vmtable")
    assert reading.trace.cpu.tolist() == [2, 4] and reading.trace.memory.tolist() == [4, 32]
    assert reading.trace.arrival.tolist() == [0, 600] and reading.trace.lifetime.tolist() == [900, 900]
    assert reading.report.skipped == {"a size above the largest bucket": 2, "no lifetime": 1}


def test_alibaba(tmp_path: Path) -> None:
    path = tmp_path / "batch_task.csv"
    path.write_text(ALIBABA)
    reading = read_public(path, "alibaba2018", machine=MACHINE, never_ending="keep")
    assert reading.trace.cpu.tolist() == [1, 1, 1, 0.5, 1]
    assert reading.trace.memory.tolist() == [1.28, 1.28, 1.28, 2.56, 1.28]
    assert reading.trace.arrival.tolist() == [0, 0, 0, 50, 70]
    assert reading.trace.lifetime.tolist() == [100, 100, 100, 10, np.inf]
    assert reading.report.skipped == {"began before the records did": 1, "no cores or no memory": 1}
    path.write_text("M1,99999999,j_1,1,Terminated,86400,86500,100,0.5\n")
    with pytest.raises(UserError, match="99,999,999 instances; read are at most"):
        read_public(path, "alibaba2018", machine=MACHINE)


def test_google(tmp_path: Path) -> None:
    path = tmp_path / "part-00000-of-00500.csv"
    path.write_text(GOOGLE_2011)
    reading = read_public(path, "google2011", machine=MACHINE, never_ending="keep")
    assert reading.trace.cpu.tolist() == [16, 8] and reading.trace.memory.tolist() == [32, 32]
    assert reading.trace.arrival.tolist() == [0, 2] and reading.trace.lifetime.tolist() == [3, np.inf]
    assert reading.report.skipped == {"submitted before the records begin": 1, "no cores or no memory": 1}
    path.write_text(GOOGLE_2019)
    trace = read_public(path, "google2019", machine=MACHINE).trace
    assert (trace.cpu.tolist(), trace.memory.tolist()) == ([32], [128])
    assert (trace.arrival.tolist(), trace.lifetime.tolist()) == ([0], [2])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "batch_task.csv", tmp_path / "out.csv"
    source.write_text(ALIBABA)
    command = ["data", "convert", str(source), str(target)]
    assert main([*command, "--form", "alibaba2018", "--machine", "96x512", "--drop-oversize", "40x90"]) == 0
    assert "5 rows, 4 VMs kept, 1 VMs without a deletion" in capsys.readouterr().out
    assert read_trace(target).trace.memory.max() == 5.12
    for options, text in (
        (["--form", "alibaba2018"], "say what one has, as in --machine 64x256"),
        (["--form", "azure-vmtable", "--machine", "1x1"], "has cores and GiB, no shares"),
        (["--form", "alibaba2018", "--machine", "big"], "argument --machine: 'big' is not CORESxGIB"),
        (["--machine", "1x1"], "only allowed with argument --form"),
        (["--form", "alibaba2018", "--time-unit", "s"], "--time-unit: not allowed with argument --form"),
        (["--form", "alibaba"], "did you mean alibaba2018"),
    ):
        assert main([*command, *options]) == 2
        assert text in capsys.readouterr().err


def test_the_catalogue_names_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert {dataset.form for dataset in DATASETS} == {"lifetimes", "events", *PUBLIC_FORMS}
    assert all(dataset.licence and dataset.homepage and dataset.citation for dataset in DATASETS)
    assert main(["data", "fetch", "google-2019"]) == 2
    assert "google-2019 is not fetched by this command" in capsys.readouterr().err
    assert main(["data", "verify", "google-2011"]) == 2
    assert "a table to be converted" in capsys.readouterr().err

"""Disks that are full or read-only: a clear line, and what was there stays as it was."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from refusals import MountDisk, Refuse, fill

COMMANDS = [
    "data synthesize disk/out.csv --vms 5000",
    "data synthesize disk/out.csv.gz --vms 50000",
    "data synthesize disk/out.npy --vms 5000",
    "data convert trace.csv disk/out.csv",
    "data describe trace.csv --plot disk/out.png",
    "data fetch huawei-east-1-lt --output disk/data",
    "evaluate --trace trace.csv --policy sbf --output disk/out",
    "compare --trace trace.csv sbf keep-64 --output disk/out",
    "study study.yaml --set output=disk/results",
    "models import model.th --output disk/models",
    "tune quick --set output=disk/results --set trace.source=trace.csv",
]


@pytest.fixture
def trace(place: Path) -> None:
    rows = "".join(f"{vm},1,2,{vm},3600\n" for vm in range(5000))
    (place / "trace.csv").write_text(f"vmid,cpu,mem,at,lt\n{rows}")
    (place / "study.yaml").write_text("name: study\ntrace: {source: trace.csv}\n")


@pytest.mark.usefixtures("trace")
@pytest.mark.parametrize("line", COMMANDS)
def test_full_disk(refuse: Refuse, mount_disk: MountDisk, line: str) -> None:
    fill(mount_disk(64 << 10))
    error = refuse(*line.split())
    assert "cannot write" in error
    assert "No space left on device" in error


@pytest.mark.usefixtures("trace")
@pytest.mark.parametrize("line", COMMANDS)
def test_read_only_disk(refuse: Refuse, mount_disk: MountDisk, line: str) -> None:
    subprocess.run(["mount", "-o", "remount,ro", mount_disk(64 << 10)], check=True)
    error = refuse(*line.split())
    assert "cannot write" in error
    assert "Read-only file system" in error


@pytest.mark.usefixtures("trace")
@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("loop", "Too many levels of symbolic links"),
        ("loop/deeper", "Too many levels of symbolic links"),
        ("new/../loop", "Too many levels of symbolic links"),
        ("nowhere", "No such file or directory"),
        (f"new/{'x' * 300}", "File name too long"),
        (f"new/newer/{'x' * 300}/newest", "File name too long"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate --policy sbf --output", "evaluate --policy sbf --parts"])
def test_output_that_cannot_be_made(
    refuse: Refuse, place: Path, command: str, output: str, expected: str
) -> None:
    (place / "new").mkdir()
    (place / "loop").symlink_to("loop")
    (place / "nowhere").symlink_to("absent")
    if "x" in output:
        (place / "new").rmdir()
    line = refuse(*command.split(), output, "--trace", "trace.csv")
    assert "cannot write to" in line and expected in line

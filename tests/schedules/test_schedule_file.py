"""Recordings on disk: what is written is read, and what is damaged is refused in one line."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_examples import large_schedule, small_schedule

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.recordings.loading import read_schedule
from spane_rllib.problems.vm_scheduling.recordings.schedule import Schedule
from spane_rllib.problems.vm_scheduling.recordings.schedule_file import write_schedule

Members = dict[str, bytes]


def assert_equal(first: Schedule, second: Schedule) -> None:
    for name in ("policy", "trace", "trace_sha256", "start", "source"):
        assert getattr(first, name) == getattr(second, name)
    for table in ("vms", "events", "servers"):
        for one, other in zip(getattr(first, table), getattr(second, table), strict=True):
            np.testing.assert_array_equal(one, other)


def unzip(file: Path) -> Members:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(file: Path, members: Members) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file


def npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("schedule", [small_schedule(), large_schedule(60, 500)], ids=["small", "large"])
def test_what_is_written_is_read(schedule: Schedule, tmp_path: Path) -> None:
    file = tmp_path / "deeper" / "a.npz"
    write_schedule(file, schedule)
    assert_equal(read_schedule(file), schedule)
    write_schedule(tmp_path / "b.npz", schedule)
    assert file.read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(file, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["events.time"], schedule.events.time)


def metadata(**changes: Any) -> Callable[[Members], Members]:
    def change(members: Members) -> Members:
        return members | {
            "metadata.json": json.dumps(json.loads(members["metadata.json"]) | changes).encode()
        }

    return change


def column(name: str, data: bytes) -> Callable[[Members], Members]:
    return lambda members: members | {f"{name}.npy": data}


HUGE = npy(np.zeros(1)).replace(b"(1,), ", b"(9999999999,), ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda members: {}, "it holds no metadata.json"),
        (lambda members: members | {"metadata.json": b"{"}, "not a valid recording"),
        (lambda members: members | {"metadata.json": b"[" * 60_000}, "does not say that it is one"),
        (lambda members: members | {"metadata.json": b"7"}, "does not say that it is one"),
        (lambda members: members | {"metadata.json": b"\xff"}, "not a valid recording"),
        (lambda members: members | {"metadata.json": b" " * 2**17}, "unpacks to 131,072 bytes"),
        (metadata(format="other"), "does not say that it is one"),
        (metadata(version=4), "format version 4; this program reads 1 to 3"),
        (metadata(policy=5), "no usable policy"),
        (metadata(trace="x" * 5000), "no usable trace"),
        (metadata(trace="\ud800"), "no usable trace"),
        (metadata(scenario=None), "no usable scenario"),
        (metadata(start=True), "no usable start"),
        (lambda members: {k: v for k, v in members.items() if k != "vms.cpu.npy"}, "no vms.cpu.npy"),
        (column("vms.cpu", b""), "vms.cpu has no readable header"),
        (column("vms.cpu", b"\x93NUMPY\x01\x00\x05\x00{{{{\n"), "vms.cpu has no readable header"),
        (column("vms.cpu", npy(np.zeros(5, "f4"))), "not one column of float64"),
        (column("vms.cpu", npy(np.zeros((5, 1)))), "not one column of float64"),
        (column("vms.cpu", npy(np.array([None] * 5))), "not one column of float64"),
        (column("vms.cpu", HUGE), "not one column of float64"),
        (column("vms.cpu", npy(np.zeros(5))[:-3]), "not one column of float64"),
        (column("vms.double", npy(np.arange(5, dtype=np.uint8).view(bool))), "neither true nor false"),
        (column("vms.cpu", npy(np.zeros(4))), "the columns of vms differ in length"),
        (column("events.time", npy(np.arange(6)[::-1] + 110.0)), "not in order of time"),
        (column("vms.memory", npy(np.full(5, 100.0))), "fills node 0 of server 0"),
        (column("vms.cpu", bytes(2**26)), "unpacks to 67,108,864 bytes"),
    ],
)
def test_damaged_files_are_refused(
    change: Callable[[Members], Members], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.npz"
    write_schedule(file, small_schedule())
    zipped(file, change(unzip(file)))
    tracemalloc.start()
    with pytest.raises(UserError, match=message) as refusal:
        read_schedule(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(refusal.value).startswith(str(file))
    assert peak < 2**24


def test_a_size_that_is_declared_too_small_unpacks_nothing_more(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    write_schedule(file, small_schedule())
    size = 123_456_789
    zipped(file, {"metadata.json": bytes(size)})
    data = file.read_bytes()
    assert data.count(size.to_bytes(4, "little")) == 2  # in the archive's directory and before the data
    file.write_bytes(data.replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little")))
    tracemalloc.start()
    with pytest.raises(UserError, match="damaged or no recording"):
        read_schedule(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("metadata.json", b"{}")
    with pytest.raises(UserError, match=r"metadata\.json is compressed in a way that is not read"):
        read_schedule(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged or no recording"),
        (b"PK\x03\x04 and so on", "evaluate --record wrote"),
        (None, "cannot read"),
    ],
)
def test_other_files_are_refused(data: bytes | None, message: str, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_schedule(tmp_path / "a.npz")


@settings(max_examples=150)
@given(
    cut=st.integers(0, 5000), flips=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 255)), max_size=3)
)
def test_no_damage_escapes_as_another_error(
    cut: int, flips: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("damage") / "a.npz"
    write_schedule(file, small_schedule())
    data = bytearray(file.read_bytes())
    for at, mask in flips:
        data[at % len(data)] ^= mask
    file.write_bytes(data[: len(data) - cut % len(data)] if cut % 2 else data)
    try:
        read_schedule(file)
    except UserError as error:
        assert str(file) in str(error)

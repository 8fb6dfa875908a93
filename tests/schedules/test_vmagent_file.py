"""Old VMAgent recordings: converted when they are plain data, refused when they could run code."""

from __future__ import annotations

import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.recordings import vmagent_file
from spane_rllib.problems.vm_scheduling.recordings.loading import read_schedule
from spane_rllib.problems.vm_scheduling.recordings.restricted_pickle import as_array, load_plain


def frames(dtype: type = np.float64) -> list[dict[str, Any]]:
    """Two servers of 2 x (40, 90): a single VM, a double one, and the first one's departure."""
    free = np.tile(np.array([40, 90], dtype), (2, 2, 1))

    def frame(
        identity: object, cpu: float, memory: float, time: int, kind: int, double: bool, slot: int
    ) -> Any:
        sign = 1 if kind else -1
        if double:
            free[slot // 2] += np.array([sign * cpu / 2, sign * memory / 2], dtype)
        else:
            free[slot // 2, slot % 2] += np.array([sign * cpu, sign * memory], dtype)
        request = {
            "uuid": identity,
            "cpu": cpu,
            "mem": memory,
            "time": time,
            "type": kind,
            "is_double": double,
        }
        return {"server": free.copy(), "request": request, "action": slot}

    return [
        frame("a", 4, 8, 10, 0, False, 1),
        frame("b", 16, 32, 20, 0, True, 2),
        frame("a", 4, 8, 35, 1, False, 1),
    ]


def write(folder: Path, value: object, protocol: int = 4) -> Path:
    file = folder / "run.p"
    file.write_bytes(pickle.dumps(value, protocol))
    return file


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_a_recording_is_converted(protocol: int, dtype: type, tmp_path: Path) -> None:
    schedule = read_schedule(write(tmp_path, {"name": "FirstFit", "data": frames(dtype)}, protocol))
    assert schedule.policy == "FirstFit"
    np.testing.assert_array_equal(schedule.servers.node_cpu, [40, 40])
    np.testing.assert_array_equal(schedule.servers.node_memory, [90, 90])
    np.testing.assert_array_equal(schedule.vms.slot, [1, 2])
    np.testing.assert_array_equal(schedule.vms.double, [False, True])
    np.testing.assert_array_equal(schedule.vms.lifetime, [25, np.inf])
    np.testing.assert_array_equal(schedule.events.time, [10, 20, 35])
    np.testing.assert_array_equal(schedule.events.vm, [0, 1, 0])
    np.testing.assert_array_equal(schedule.events.departure, [False, False, True])
    assert schedule.total_wait == 0


def test_a_bare_list_is_named_after_its_file_and_may_hold_numpy_scalars(tmp_path: Path) -> None:
    recording = frames()
    recording[0]["action"] = np.int64(1)
    recording[0]["request"]["cpu"] = np.float32(4)
    assert read_schedule(write(tmp_path, recording)).policy == "run"


def test_names_of_older_numpy_are_known() -> None:
    data = pickle.dumps(np.arange(3.0), 2).replace(b"numpy._core.", b"numpy.core.")
    np.testing.assert_array_equal(as_array(load_plain(data)), [0, 1, 2])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i2", "|b1", ">u8"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_out_as_they_went_in(dtype: str, order: Any, protocol: int) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype, order=order)
    found = as_array(load_plain(pickle.dumps(array, protocol)))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


class Call:
    """Pickles to a call of `function`."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


SIDE_EFFECT = "side-effect"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Call(os.mkdir, SIDE_EFFECT), "names posix.mkdir"),
        (Call(os.system, f"mkdir {SIDE_EFFECT}"), "names posix.system"),
        (Call(eval, f"__import__('os').mkdir('{SIDE_EFFECT}')"), "names builtins.eval"),
        (Call(getattr, 1, "real"), "names builtins.getattr"),
        (Call(np.load, SIDE_EFFECT), "names numpy.load"),
        (Call(np.frombuffer, b"12345678"), "names numpy"),
        (np.array([Call(os.mkdir, SIDE_EFFECT)], dtype=object), "not of plain numbers|names posix.mkdir"),
        (np.array([(1, 2)], dtype="i4,i4"), "not of plain numbers"),
        (np.array(["text"]), "not of plain numbers"),
        (Path("x"), "is not read"),
        ({1, 2}, "the operation EMPTY_SET is not read"),
        (complex(1, 2), "names builtins.complex"),
    ],
)
def test_what_could_run_code_is_refused(
    value: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path, [{"server": value}])
    with pytest.raises(UserError, match=message):
        read_schedule(file)
    assert not Path(SIDE_EFFECT).exists()


def test_stand_ins_cannot_be_changed() -> None:
    """A BUILD operation on a class itself would otherwise set attributes that outlive the file."""
    build_on_class = b"\x80\x02cnumpy\nndarray\nN}U\x05extraK\x01s\x86b."
    assert any(opcode.name == "BUILD" for opcode, _, _ in pickletools.genops(build_on_class))
    with pytest.raises(ValueError, match="damaged pickle"):
        load_plain(build_on_class)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged|pickle"),
        (b"\x80\x04.", "damaged"),
        (b"\x80\x04]r\xff\xff\xff\x7f.", "memo index"),
        (b"\x80\x04B\xff\xff\xff\x7fabc.", "expected"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00abc.", "expected"),
        (b"\x80\x04cos\nsystem\n.", "names os.system"),
        (b"c__main__\nx\n.", "names __main__.x"),
        (b"\x80\x02P0\n.", "PERSID"),
    ],
)
def test_crafted_pickles_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_plain(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: None, "no list of frames"),
        (lambda data: [], "no list of frames"),
        (lambda data: {"name": 3, "data": data}, "no list of frames"),
        (lambda data: [5], "frame 0"),
        (lambda data: [data[0], data[1] | {"server": np.zeros((3, 2, 2))}], "frame 1: the servers are not"),
        (lambda data: [data[0] | {"server": [[1, 2]]}], "frame 0: .*an array is missing"),
        (lambda data: [data[0] | {"server": np.zeros((2, 2, 3))}], "server or action is wrong"),
        (lambda data: [data[0] | {"action": 4}], "server or action is wrong"),
        (lambda data: [data[0] | {"action": "first"}], "its type, action or server is wrong"),
        (lambda data: [data[0] | {"request": data[0]["request"] | {"cpu": np.inf}}], "its request is wrong"),
        (
            lambda data: [data[0] | {"request": data[0]["request"] | {"uuid": []}}],
            "its uuid is neither",
        ),
        (lambda data: [data[0] | {"request": {}}], "KeyError"),
        (lambda data: data[1:], "does not begin with a placement on empty servers"),
        (lambda data: [data[2]], "does not begin with a placement"),
        (lambda data: [data[0], data[0]], "frame 1: the servers are not what its request makes of them"),
        (lambda data: [data[0], data[2], data[2]], "frame 1: the servers are not"),
        (lambda data: [*data, data[2]], "frame 3: a VM departs that does not run"),
    ],
)
def test_contradictory_recordings_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    file = write(tmp_path, change(frames()))
    with pytest.raises(UserError, match=message) as refusal:
        read_schedule(file)
    assert str(refusal.value).startswith(str(file))


def test_too_many_frames_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vmagent_file, "MAX_VMS", 1)
    with pytest.raises(UserError, match="3 frames; allowed are 2"):
        read_schedule(write(tmp_path, frames()))


@settings(max_examples=200)
@given(flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4))
def test_no_damage_escapes_as_another_error(
    flips: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(pickle.dumps(frames(), 4))
    for at, mask in flips:
        data[at % len(data)] ^= mask
    file = tmp_path_factory.mktemp("damage") / "run.p"
    file.write_bytes(data)
    try:
        read_schedule(file)
    except UserError as error:
        assert str(file) in str(error)

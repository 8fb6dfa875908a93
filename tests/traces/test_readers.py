"""Reading traces: the three forms by hand, a table of bad files, and what skipping rows leaves."""

import gzip
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spane_rllib.core.errors import UserError
from spane_rllib.datasets import text as text_files
from spane_rllib.datasets.vm_traces import csv_table
from spane_rllib.datasets.vm_traces.readers import read_trace

LIFETIMES = "vmid,cpu,mem,at,lt\n"
EVENTS = "vmid,cpu,memory,time,type\n"


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "trace.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def columns(trace) -> list[list[float]]:
    return [column.tolist() for column in (trace.cpu, trace.memory, trace.arrival, trace.lifetime)]


def test_lifetime_form(tmp_path: Path) -> None:
    result = read_trace(write(tmp_path, LIFETIMES + "7,1,2,0,30\n5,4,8,10.5,20\n"))
    assert columns(result.trace) == [[1, 4], [2, 8], [0, 10.5], [30, 20]]
    assert (result.report.rows, result.report.kept, result.report.never_ending) == (2, 2, 0)
    assert result.trace.name == "trace"


@pytest.mark.parametrize(
    "text",
    [
        "lt,at,mem,cpu,vmid\n30,0,2,1,a\n20,10,8,4,b\n",
        "vmid,cpu,memory,at,lt\na,1,2,0,30\nb,4,8,10,20\n",
        "vmid, cpu, mem, at, lt\na, 1, 2, 0, 30\nb, 4, 8, 10, 20\n",
        "vmid,cpu,mem,at,lt\r\na,1,2,0,30\r\nb,4,8,10,20\r\n",
        "\ufeffvmid,cpu,mem,at,lt\na,1.0,2e0,0,30\n\nb,4,8,10,20\n\n",
        "vmid,cpu,mem,at,lt\na,1,2,0,30\nb,4,8,10,20",
    ],
    ids=["column order", "memory", "spaces", "CRLF", "BOM and blank lines", "no final newline"],
)
def test_variants_of_the_text_mean_the_same(tmp_path: Path, text: str) -> None:
    trace = read_trace(write(tmp_path, text)).trace
    assert columns(trace) == [[1, 4], [2, 8], [0, 10], [30, 20]]


@pytest.mark.parametrize("ids", ["0 1 2", "7 3 5", "0 900000000 5", "7 007 +7", "a b c", "\u00e9 - \u2028x"])
def test_ids_are_texts_whatever_they_look_like(tmp_path: Path, ids: str) -> None:
    first, second, third = ids.split(" ")
    rows = [f"{first},1,2,0,30\n", f"{second},1,2,1,30\n", f" {third} ,1,2,2,30\n"]
    assert len(read_trace(write(tmp_path, LIFETIMES + "".join(rows))).trace) == 3
    repeated = write(tmp_path, LIFETIMES + "".join([*rows, f"{second},1,2,3,30\n"]))
    with pytest.raises(UserError, match=re.escape(f"row 5: vmid must be unique, got {second!r}")):
        read_trace(repeated)
    timed = [(kind, *pair) for kind in (0, 1) for pair in enumerate(ids.split(" "), 9 * kind)]
    events = [f"{name},1,2,{time},{kind}\n" for kind, time, name in timed]
    assert columns(read_trace(write(tmp_path, EVENTS + "".join(events))).trace)[3] == [9, 9, 9]


def test_long_texts_are_parsed_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_table, "_BLOCK", 1000)
    rows = [f"{vm},1,2,{vm / 8!r},{vm + 0.1!r}\n" for vm in range(1, 2000)]
    trace = read_trace(write(tmp_path, LIFETIMES + "".join(rows))).trace
    assert trace.arrival.tolist() == [vm / 8 for vm in range(1, 2000)]
    assert trace.lifetime.tolist() == [vm + 0.1 for vm in range(1, 2000)]
    rows[1500] = "1,1,2,999,3\n"
    with pytest.raises(UserError, match=r"row 1502: vmid must be unique, got '1'"):
        read_trace(write(tmp_path, LIFETIMES + "".join(rows)))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_longer_text_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    content = (LIFETIMES + "0,1,2,0,30\n").encode()
    path = write(tmp_path, pack(content))
    monkeypatch.setattr(text_files, "MAX_BYTES", len(content))
    assert len(read_trace(path).trace) == 1
    monkeypatch.setattr(text_files, "MAX_BYTES", len(content) - 1)
    with pytest.raises(UserError, match=f"more than {len(content) - 1} bytes of text"):
        read_trace(path)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, gzip.compress(LIFETIMES.encode() + bytes(50_000_000)))
    monkeypatch.setattr(text_files, "MAX_BYTES", 100_000)
    tracemalloc.start()
    with pytest.raises(UserError, match="more than 100,000 bytes of text, unpacked"):
        read_trace(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_gzip_is_recognised_by_content(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress((LIFETIMES + "0,1,2,0,30\n").encode()))
    assert columns(read_trace(path).trace) == [[1], [2], [0], [30]]


def test_event_form_joins_creations_and_deletions_in_order_of_creation(tmp_path: Path) -> None:
    events = EVENTS + "9,1,2,0,0\n3,4,8,5,0\n9,1,2,6,1\n4,2,4,6,0\n3,4,8,105,1\n"
    result = read_trace(write(tmp_path, events))
    assert columns(result.trace) == [[1, 4], [2, 8], [0, 5], [6, 100]]
    assert (result.report.rows, result.report.kept, result.report.never_ending) == (5, 2, 1)
    kept = read_trace(write(tmp_path, events), never_ending="keep")
    assert columns(kept.trace) == [[1, 4, 2], [2, 8, 4], [0, 5, 6], [6, 100, np.inf]]
    assert (kept.report.kept, kept.report.never_ending) == (3, 1)


def test_npy_is_memory_mapped_and_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "trace.npy"
    np.save(path, np.array([[1.0, 4.0], [2.0, 8.0], [0.0, 10.0], [30.0, np.inf]]))
    kept = read_trace(path, never_ending="keep").trace
    assert columns(kept) == [[1, 4], [2, 8], [0, 10], [30, np.inf]]
    base = kept.cpu
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        kept.cpu[0] = 2
    assert columns(read_trace(path).trace) == [[1], [2], [0], [30]]


BAD_LIFETIMES = {
    "missing column": ("vmid,cpu,mem,at\n0,1,2,0\n", "row 1: missing column lt;"),
    "extra column": (
        "vmid,cpu,mem,at,lt,ltpred\n0,1,2,0,30,3\n",
        "row 1: unknown column 'ltpred'; the header",
    ),
    "no header": ("0,1,2,3,30\n", "row 1: missing column"),
    "repeated column": ("vmid,cpu,cpu,at,lt\n", "row 1: column 'cpu' appears twice"),
    "mem and memory": ("vmid,cpu,mem,memory,at,lt\n", "row 1: column 'mem' appears twice"),
    "semicolons": ("vmid;cpu;mem;at;lt\n0;1;2;0;30\n", "row 1: columns are separated by semicolons"),
    "tabs": ("vmid\tcpu\tmem\tat\tlt\n", "row 1: columns are separated by tabs"),
    "vertical bars": ("vmid|cpu|mem|at|lt\n", "row 1: columns are separated by vertical bars"),
    "empty": ("", "is empty"),
    "blank": (" \n\n", "is empty"),
    "header only": (LIFETIMES, "a header but no rows"),
    "text": (LIFETIMES + "0,1,2,0,30\n1,two,2,0,30\n", "row 3: cpu must be a number, got 'two'"),
    "underscore": (LIFETIMES + "0,1_0,2,0,30\n", "row 2: cpu must be a number, got '1_0'"),
    "missing value": (LIFETIMES + "0,1,,0,30\n", "row 2: mem must be a number, got ''"),
    "not available": (LIFETIMES + "0,1,NA,0,30\n", "row 2: mem must be a number, got 'NA'"),
    "nan": (LIFETIMES + "0,1,nan,0,30\n", "row 2: mem must be finite, got nan"),
    "inf": (LIFETIMES + "0,1,2,0,inf\n", "row 2: lt must be finite, got inf"),
    "overflow": (LIFETIMES + "0,1,2,0,1e999\n", "row 2: lt must be finite, got inf"),
    "huge": (LIFETIMES + "0,1,2,0,1e17\n", "row 2: lt must be at most 2^53, got 1e+17"),
    "long digits": (LIFETIMES + "0,1,2,0," + "9" * 500 + "\n", "row 2: lt must be finite, got inf"),
    "zero cpu": (LIFETIMES + "0,0,2,0,30\n", "row 2: cpu must be more than 0, got 0"),
    "negative mem": (LIFETIMES + "0,1,-2,0,30\n", "row 2: mem must be more than 0, got -2"),
    "zero lifetime": (LIFETIMES + "0,1,2,0,0\n", "row 2: lt must be more than 0, got 0"),
    "negative arrival": (LIFETIMES + "0,1,2,-1,30\n", "row 2: at must be at least 0, got -1"),
    "out of order": (
        LIFETIMES + "0,1,2,9,30\n1,1,2,8,30\n",
        "row 3: at must not be before an earlier row's, got 8",
    ),
    "duplicate": (LIFETIMES + "a,1,2,0,30\na,1,2,1,30\n", "row 3: vmid must be unique, got 'a'"),
    "empty vmid": (LIFETIMES + ",1,2,0,30\n", "row 2: vmid must not be empty"),
    "short row": (LIFETIMES + "0,1,2,0,30\n1,1,2\n", "row 3: a row must have 5 values, got 3"),
    "long row": (LIFETIMES + "0,1,2,0,30,9\n", "row 2: a row must have 5 values, got 6"),
    "all rows long": (
        LIFETIMES + "0,1,2,0,30,9\n1,1,2,0,30,9\n",
        "row 2: a row must have 5 values, got 6 (1 more",
    ),
    "ragged both ways": (LIFETIMES + "0,1,2,0\n1,1,2,0,30,9\n", "row 2: a row must have 5 values, got 4"),
    "blank line counts": (LIFETIMES + "0,1,2,0,30\n\n1,1,2,0,x\n", "row 4: lt must be a number, got 'x'"),
    "first of several": (
        LIFETIMES + "0,1,2,9,30\n0,1,2,8,30\n1,1,0,9,3\n",
        "row 3: vmid must be unique, got '0' (1",
    ),
    "long value is cut": (LIFETIMES + "0," + "x" * 999 + ",2,0,30\n", "got '" + "x" * 39 + "..."),
    "binary": (b"\x00\x01\x02\x03", "is a binary file"),
    "utf-16": ("vmid,cpu".encode("utf-16"), "UTF-16; save it as UTF-8"),
    "latin-1": (LIFETIMES.encode() + b"0,1,2,0,30\n\xe9,1,2,0,30\n", "row 3: not UTF-8 text"),
    "cut gzip": (gzip.compress(LIFETIMES.encode() * 99)[:-9], "gzip data is damaged or cut short"),
    "corrupt gzip": (gzip.compress(LIFETIMES.encode())[:12] + b"\xff" * 40, "gzip data is damaged"),
}
BAD_EVENTS = {
    "type": ("a,1,2,0,2\n", "row 2: type must be 0 (create) or 1 (delete), got 2"),
    "unknown VM": ("a,1,2,0,0\nb,1,2,3,1\n", "row 3: a deletion must follow the creation of the VM, got 'b'"),
    "before creation": (
        "b,1,2,1,1\nb,1,2,3,0\n",
        "row 2: a deletion must follow the creation of the VM, got 'b'",
    ),
    "second deletion": ("a,1,2,0,0\na,1,2,3,1\na,1,2,4,1\n", "row 4: a VM must be deleted once, got 'a'"),
    "second creation": ("a,1,2,0,0\na,1,2,3,0\n", "row 3: a VM must be created once, got 'a'"),
    "order of time": ("a,1,2,5,0\na,1,2,3,1\n", "row 3: time must not be before an earlier row's, got 3"),
    "same second": (
        "a,1,2,5,1\na,1,2,5,0\n",
        "row 3: a VM must not be deleted in the second of its creation",
    ),
    "negative time": ("a,1,2,-5,0\n", "row 2: time must be at least 0, got -5"),
    "no VM ends": ("a,1,2,0,0\n", "no VM is left of 1 rows"),
}


@pytest.mark.parametrize(
    ("content", "message"),
    [*BAD_LIFETIMES.values(), *((EVENTS + rows, message) for rows, message in BAD_EVENTS.values())],
    ids=[*BAD_LIFETIMES, *BAD_EVENTS],
)
def test_bad_files_give_one_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        read_trace(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert len(text) < 400 + len(str(path))


def test_unreadable_paths(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_trace(tmp_path / "absent.csv")
    with pytest.raises(UserError, match="Is a directory"):
        read_trace(tmp_path)


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Patched, since a test run by root may read every file.
    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UserError, match=r"cannot read .*Permission denied"):
        read_trace(tmp_path / "secret.csv")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((4, 2), dtype=np.float32), "float32 array"),
        (np.ones((2, 4)), "shape (2, 4)"),
        (np.ones(4), "shape (4,)"),
        (np.ones((4, 2), order="F"), "C order"),
        (np.ones((4, 0)), "no VM is left"),
        (np.array([[1.0, 1], [1, 0], [0, 0], [1, 1]]), "column 1: mem must be more than 0, got 0"),
        (
            np.array([[1.0, 1], [1, 1], [5, 4], [1, 1]]),
            "column 1: at must not be before an earlier column's, got 4",
        ),
        (np.array([[1.0], [1], [0], [np.nan]]), "column 0: lt must be finite, got nan"),
        (np.array([[1.0], [1], [0], [-np.inf]]), "column 0: lt must be finite, got -inf"),
    ],
)
def test_bad_arrays(tmp_path: Path, array: np.ndarray, message: str) -> None:
    path = tmp_path / "trace.npy"
    np.save(path, array)
    with pytest.raises(UserError, match=re.escape(message)):
        read_trace(path)


def test_cut_and_pickled_arrays(tmp_path: Path) -> None:
    path = tmp_path / "trace.npy"
    np.save(path, np.ones((4, 100)))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"not a readable \.npy array"):
        read_trace(path)
    np.save(path, np.array([object()]), allow_pickle=True)
    with pytest.raises(UserError, match=r"not a readable \.npy array"):
        read_trace(path)


def test_skipping_counts_by_reason(tmp_path: Path) -> None:
    rows = [
        "0,1,2,0,30",
        "1,x,2,0,30",
        "2,1,2,5,0",
        "3,1,2,5,-1",
        "0,1,2,6,30",
        "5,1,2,7,30",
        "4,1,2,3,30",
        "6,1",
    ]
    result = read_trace(write(tmp_path, LIFETIMES + "\n".join(rows)), skip_invalid=True)
    assert columns(result.trace) == [[1, 1], [2, 2], [0, 7], [30, 30]]
    assert (result.report.rows, result.report.kept) == (8, 2)
    assert result.report.skipped == {
        "cpu must be a number": 1,
        "a row must have 5 values": 1,
        "lt must be more than 0": 2,
        "vmid must be unique": 1,
        "at must not be before an earlier row's": 1,
    }


def test_skipping_an_invalid_creation_skips_its_deletion(tmp_path: Path) -> None:
    events = EVENTS + "a,0,2,0,0\nb,1,2,1,0\na,1,2,2,1\nb,1,2,3,1\n"
    result = read_trace(write(tmp_path, events), skip_invalid=True)
    assert columns(result.trace) == [[1], [2], [1], [2]]
    assert result.report.skipped == {
        "cpu must be more than 0": 1,
        "a deletion must follow the creation of the VM": 1,
    }


def test_skipping_columns_of_an_array(tmp_path: Path) -> None:
    path = tmp_path / "trace.npy"
    np.save(path, np.array([[1.0, -1, 1], [1, 1, 1], [0, 9, 3], [5, 5, 5]]))
    result = read_trace(path, skip_invalid=True)
    assert columns(result.trace) == [[1, 1], [1, 1], [0, 3], [5, 5]]
    assert result.report.skipped == {"cpu must be more than 0": 1}


def test_unknown_never_ending_choice(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="drop or keep, got 'perhaps'"):
        read_trace(tmp_path, never_ending="perhaps")  # type: ignore[arg-type]


def test_huawei_east_1(huawei_file: Path) -> None:
    trace = read_trace(huawei_file).trace
    assert len(trace) == 116_313
    assert trace.arrival[-1] == 2_678_081
    assert np.percentile(trace.lifetime, [25, 50, 75]).tolist() == [194, 2592, 6651]
    assert np.count_nonzero(trace.cpu == 64) == 252


@settings(max_examples=60)
@given(
    vms=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=25),
    deletions_first=st.booleans(),
)
def test_events_of_known_vms_give_those_vms(
    tmp_path_factory: pytest.TempPathFactory, vms: list[tuple[int, int]], deletions_first: bool
) -> None:
    vms = sorted(vms, key=lambda vm: vm[0])
    events = [(arrival, 0, f"vm{i}") for i, (arrival, _) in enumerate(vms)]
    events += [(arrival + lifetime, 1, f"vm{i}") for i, (arrival, lifetime) in enumerate(vms)]
    events.sort(key=lambda event: (event[0], -event[1] if deletions_first else event[1]))
    rows = "".join(f"{vm},1,2,{time},{kind}\n" for time, kind, vm in events)
    trace = read_trace(write(tmp_path_factory.mktemp("events"), EVENTS + rows)).trace
    assert list(zip(trace.arrival, trace.lifetime, strict=True)) == vms

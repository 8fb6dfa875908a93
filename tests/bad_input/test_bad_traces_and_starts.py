"""Trace files and files of episode starts through the commands that read them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from refusals import Refuse

HEAD = "vmid,cpu,mem,at,lt\n"
EVENTS = "vmid,cpu,memory,time,type\n"


def npy(descr: str, shape: str, data: bytes = b"", extra: str = "") -> bytes:
    """A `.npy` file whose header says what the arguments say."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}{extra}}}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


TRACES = {
    "nothing": (b"", "is empty"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00", "is a binary file"),
    "a web page": (b"<!DOCTYPE html>\n<html>", "row 1: columns are separated by spaces"),
    "UTF-16": ((HEAD + "0,1,2,0,30\n").encode("utf-16"), "UTF-16; save it as UTF-8"),
    "Latin-1": (HEAD.encode() + b"\xe9,1,2,0,30\n", "row 2: not UTF-8"),
    "cut gzip": (gzip.compress(HEAD.encode() * 9)[:-4], "gzip data is damaged or cut short"),
    "semicolons": (b"vmid;cpu;mem;at;lt\n", "separated by semicolons"),
    "no header": (b"0,1,2,3,30\n", "row 1: missing column"),
    "no rows": (HEAD.encode(), "a header but no rows"),
    "missing column": (b"vmid,cpu,mem,at\n0,1,2,0\n", "missing column lt"),
    "unknown column": (b"vmid,cpu,mem,at,lt,gpu\n", "unknown column 'gpu'"),
    "control characters": (b"vmid,cpu,mem,at,\x1b[31m\n", "unknown column"),
    "text for a number": (f"{HEAD}0,one,2,0,30\n".encode(), "row 2: cpu must be a number, got 'one'"),
    "terminal codes": (f"{HEAD}0,\x1b[2J,2,0,30\n".encode(), "row 2: cpu must be a number"),
    "zero CPU": (f"{HEAD}0,0,2,0,30\n".encode(), "row 2: cpu must be more than 0"),
    "negative memory": (f"{HEAD}0,1,-2,0,30\n".encode(), "row 2: mem must be more than 0"),
    "not a number": (f"{HEAD}0,1,nan,0,30\n".encode(), "row 2: mem must be finite"),
    "endless": (f"{HEAD}0,1,2,0,inf\n".encode(), "row 2: lt must be finite"),
    "time runs back": (f"{HEAD}0,1,2,9,30\n1,1,2,8,30\n".encode(), "row 3: at must not be before"),
    "twice the same VM": (f"{HEAD}0,1,2,0,30\n0,1,2,0,30\n".encode(), "row 3: vmid must be unique"),
    "short row": (f"{HEAD}0,1,2\n".encode(), "row 2: a row must have 5 values, got 3"),
    "unknown event": (f"{EVENTS}0,1,2,0,7\n".encode(), "row 2: type must be 0 (create) or 1 (delete)"),
    "deletion alone": (f"{EVENTS}0,1,2,0,1\n".encode(), "row 2: a deletion must follow the creation"),
    "no VM ends": (f"{EVENTS}0,1,2,0,0\n".encode(), "no VM is left of 1 rows"),
    "array cut": (npy("'<f8'", "(4, 9)", bytes(100)), "not a readable .npy array"),
    "array header only": (b"\x93NUMPY", "not a readable .npy array"),
    "array of absurd length": (npy("'<f8'", "(4, 10000000000000)"), "not a readable .npy array"),
    "array beyond 64 bits": (npy("'<f8'", f"(4, {10**30})"), "not a readable .npy array"),
    "array of negative length": (npy("'<f8'", "(4, -1)"), "not a readable .npy array"),
    "array of objects": (npy("'|O'", "(4, 1)", bytes(32)), "not a readable .npy array"),
    "array of an unknown type": (npy("'<q99'", "(4, 1)"), "not a readable .npy array"),
    "array with code for a header": (npy("__import__('os')", "(4, 1)"), "not a readable .npy array"),
    "array with another key": (npy("'<f8'", "(4, 1)", extra=", 'x': 1"), "not a readable .npy array"),
    "array of text": (npy("'<U4'", "(4, 1)", bytes(64)), "a trace is float64 of shape (4, n)"),
    "array of another shape": (npy("'<f8'", "(3, 1)", bytes(24)), "a trace is float64 of shape (4, n)"),
    "array of zeros": (npy("'<f8'", "(4, 1)", bytes(32)), "column 0: cpu must be more than 0"),
}  # fmt: skip
STARTS = {
    "nothing": ("s.txt", b"", "is empty"),
    "header only": ("s.csv", b"start\n", "no starts"),
    "text": ("s.txt", b"1\ntwo\n", "row 2: 'two' is no whole number"),
    "fraction": ("s.txt", b"1.5\n", "row 1: '1.5' is no whole number"),
    "two columns": ("s.csv", b"1,2\n", "row 1: '1,2' is no whole number"),
    "negative": ("s.txt", b"-1\n", "row 1: start -1 is outside 0 to 299"),
    "beyond the trace": ("s.txt", b"0\n300\n", "row 2: start 300 is outside 0 to 299"),
    "last row": ("s.txt", b"299\n", "start 299 (position 0) is outside"),
    "huge": ("s.txt", b"9" * 4000, "is no whole number"),
    "binary": ("s.txt", b"\x00\x01", "is a binary file"),
    "not UTF-8": ("s.txt", b"1\n\xff\n", "row 2: not UTF-8 text"),
    "no array": ("s.npy", b"1\n2\n", "not a readable .npy array"),
    "a pickle": ("s.npy", b"\x80\x04\x95", "not a readable .npy array"),
    "an archive": ("s.npy", b"PK\x03\x04damaged", "not a readable .npy array"),
    "array of floats": ("s.npy", npy("'<f8'", "(1,)", bytes(8)), "one-dimensional array of whole numbers"),
    "array of truths": ("s.npy", npy("'|b1'", "(1,)", b"\x01"), "one-dimensional array of whole numbers"),
    "array of durations": ("s.npy", npy("'<m8[s]'", "(1,)", bytes(8)), "array of whole numbers"),
    "array of dates": ("s.npy", npy("'<M8[s]'", "(1,)", bytes(8)), "array of whole numbers"),
    "beyond 64 bits": ("s.npy", npy("'<u8'", "(1,)", b"\xff" * 8), "start -1 is outside"),
    "table": ("s.npy", npy("'<i8'", "(1, 1)", bytes(8)), "one-dimensional array of whole numbers"),
    "empty array": ("s.npy", npy("'<i8'", "(0,)"), "no starts"),
    "array beyond the trace": ("s.npy", npy("'<i8'", "(1,)", b"\xff" * 8), "row 0: start -1 is outside"),
    "array of absurd length": ("s.npy", npy("'<i8'", "(10000000000000,)"), "not a readable .npy array"),
    "array of objects": ("s.npy", npy("'|O'", "(1,)", bytes(8)), "not a readable .npy array"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), TRACES.values(), ids=TRACES)
def test_bad_trace(refuse: Refuse, place: Path, content: bytes, expected: str) -> None:
    (place / "trace.csv").write_bytes(content)
    for command in ("data verify", "data convert", "data describe", "evaluate --policy sbf --trace"):
        output = ["out.csv"] if command == "data convert" else []
        line = refuse(*command.split(), "trace.csv", *output)
        assert "trace.csv" in line
        assert expected in line


def test_bad_trace_in_an_experiment(refuse: Refuse, place: Path) -> None:
    (place / "trace.csv").write_text(f"{HEAD}0,1,2,0,30\n1,x,2,0,30\n")
    line = refuse("tune", "quick", "--set", "trace.source=trace.csv")
    assert "trace.csv, row 3: cpu must be a number, got 'x'" in line


@pytest.mark.parametrize(("name", "content", "expected"), STARTS.values(), ids=STARTS)
def test_bad_starts(refuse: Refuse, place: Path, name: str, content: bytes, expected: str) -> None:
    (place / name).write_bytes(content)
    arguments = ("--trace", "synthetic:vms=300", "--policy", "sbf", "--output", "out")
    assert expected in refuse("evaluate", *arguments, "--starts", name)


def test_folders_and_archives_are_no_starts(refuse: Refuse, place: Path) -> None:
    (place / "folder.npy").mkdir()
    np.savez(place / "several.npz", a=np.arange(3))
    arguments = ("evaluate", "--trace", "synthetic:vms=300", "--policy", "sbf", "--starts")
    assert "cannot read folder.npy: Is a directory" in refuse(*arguments, "folder.npy")
    assert "several.npz is a binary file" in refuse(*arguments, "several.npz")

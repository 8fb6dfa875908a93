"""Small files that unpack to much, or take long, and files that never end: refused at once, in 2 GB."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import resource
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from refusals import check_refusal, contents
from time_limits import ANSWER_S

HEAD = b"vmid,cpu,mem,at,lt\n"
MEMORY = 2_000_000 << 10  # bytes of addresses, as `ulimit -v 2000000` allows
REPOSITORY = str(Path(__file__).parents[2])


def packed(block: bytes, count: int) -> bytes:
    """Gzip of `count` times `block`."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9) as stream:
        for _ in range(count):
            stream.write(block)
    return buffer.getvalue()


def sparse(path: Path, head: bytes, size: int) -> None:
    path.write_bytes(head)
    os.truncate(path, size)


def npy_header(shape: str) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def zip_of_nothing(path: Path) -> None:
    """An archive whose members unpack to 300 MB each."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("metadata.json", "vms.cpu.npy", "archive/data.pkl", "archive/data/0"):
            archive.writestr(name, bytes(300 << 20))


def doubling() -> bytes:
    """A pickle of {t: 0}, where t is a tuple of twice the one before, fifty times over."""
    twice = b"2\x86"  # DUP, TUPLE2
    return b"\x80\x02}" + b")" + twice * 50 + b"K\x00s."


def doubling_request() -> bytes:
    """A frame of VMAgent's whose uuid is such a tuple, put together without a key that is one."""
    plain = pickle.dumps(
        [{"request": {"uuid": 0, "type": 0, "cpu": 1, "mem": 1, "time": 0, "is_double": 0}}], 2
    )
    return plain.replace(b"K\x00", b")" + b"2\x86" * 50, 1)


def doubling_state(path: Path) -> None:
    """What torch takes for weights, with such a key."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", doubling())
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")


def text(content: Callable[[], bytes]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content())

    return make


TEXTS: dict[str, Callable[[Path], None]] = {
    "commas packed": text(lambda: packed(b"," * (1 << 20), 500)),
    "lines packed": text(lambda: packed(HEAD + b"\n" * (1 << 20), 500)),
    "rows packed": text(lambda: packed(b"0,1,2,0,30\n" * 100_000, 500)),
    "zeros packed": text(lambda: packed(bytes(1 << 20), 500)),
    "20,000 columns": text(lambda: b",".join(b"a%d" % i for i in range(20_000)) + b"\n" + b"1," * 20_000),
    "200,000 columns": text(lambda: b",".join(b"a%d" % i for i in range(200_000)) + b"\n1\n"),
    "one long line": text(lambda: HEAD + b"1," * (8 << 20)),
    "one long number": text(lambda: HEAD + b"0,1,2,0," + b"9" * (8 << 20) + b"\n"),
    "many lines": text(lambda: HEAD + b"\n" * 21_000_000),
    "a file with a hole": lambda path: sparse(path, HEAD, 1 << 40),
}
ARRAYS: dict[str, Callable[[Path], None]] = {
    "an array with a hole": lambda path: sparse(path, npy_header(f"(4, {1 << 36})"), (1 << 41) + 128),
}
PIPES: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "zeros without end": lambda path: path.symlink_to("/dev/zero"),
    "a terminal": lambda path: path.symlink_to("/dev/ptmx"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}
RECORDINGS: dict[str, Callable[[Path], None]] = {
    "an archive of zeros": zip_of_nothing,
    "an archive with a hole": lambda path: sparse(path, b"PK\x03\x04", 1 << 40),
}
PICKLES: dict[str, Callable[[Path], None]] = {
    "doubling tuple as a key": text(doubling),
    "doubling tuple as an id": text(doubling_request),
    "a pickle with a hole": lambda path: sparse(path, b"\x80\x02", 1 << 40),
}
WEIGHTS: dict[str, Callable[[Path], None]] = {
    "a state with a doubling key": doubling_state,
    "a bare pickle": text(doubling),
}
JSONS: dict[str, Callable[[Path], None]] = {
    "deep lists": text(lambda: b"[" * 1_000_000),
    "deep objects": text(lambda: b'{"a":' * 1_000_000),
    "a number of a million digits": text(lambda: b"9" * 1_000_000),
    "many lists": text(lambda: b"[" + b"[]," * 50_000_000 + b"[]]"),
}
DEEP_JSONS = {name: make for name, make in JSONS.items() if name != "many lists"}
PODS = JSONS | {"much YAML": text(lambda: b"a:\n" + b"- {b: 1}\n" * 1_000_000)}
NAMED = "evaluate --trace synthetic:vms=300 --policy sbf"
READERS: list[tuple[str, str, dict[str, Callable[[Path], None]]]] = [
    ("trace.csv", "data verify trace.csv", TEXTS | ARRAYS | PIPES),
    ("trace.csv", "data convert trace.csv out.npy --skip-invalid", TEXTS | ARRAYS | PIPES),
    ("trace.csv", "data describe trace.csv", PIPES),
    ("trace.csv", "evaluate --policy sbf --trace trace.csv --output out", TEXTS | ARRAYS | PIPES),
    ("trace.csv", "tune quick --set trace.source=trace.csv", PIPES),
    ("starts.txt", f"{NAMED} --output out --starts starts.txt", TEXTS | PIPES),
    ("starts.npy", f"{NAMED} --output out --starts starts.npy", ARRAYS | PIPES),
    ("config.yaml", "tune config.yaml", TEXTS | PIPES),
    ("config.yaml", f"{NAMED} --scenario config.yaml", TEXTS | PIPES),
    ("config.yaml", "analyze .", TEXTS | PIPES),
    ("cluster", "evaluate --problem pod_migration --cluster cluster --policy keep", TEXTS | PIPES | PODS),
    ("jobs.csv", "data describe --problem gpu_jobs jobs.csv", PIPES),
    ("jobs.json", "data describe --problem gpu_jobs jobs.json --reading '{form: philly}'", DEEP_JSONS),
    ("a.json", "plan a.json", TEXTS | PIPES | JSONS),
    ("a.json.gz", "plan a.json.gz", TEXTS | PIPES),
    ("a.machines.csv", "plan a.machines.csv", TEXTS | PIPES),
    ("a.machines.parquet", "plan a.machines.parquet", TEXTS | PIPES),
    ("a.json", "view a.json --no-browser", TEXTS | PIPES | JSONS),
    ("a.npz", "view a.npz --no-browser", RECORDINGS | PIPES),
    ("a.p", "view a.p --no-browser", PICKLES | RECORDINGS | PIPES),
    ("model.json", f"{NAMED} --policy .", TEXTS | PIPES),
    ("w.th", "models import w.th", WEIGHTS | RECORDINGS | PIPES),
]
CASES = [
    pytest.param(name, line, make, id=f"{line} of {bomb}")
    for name, line, bombs in READERS
    for bomb, make in bombs.items()
]
SLOW = pytest.mark.slow
QUICK = {
    "data verify trace.csv of 20,000 columns",
    "data verify trace.csv of a pipe",
    "plan a.machines.csv of a pipe",
    "data verify trace.csv of commas packed",
    "view a.p --no-browser of doubling tuple as a key",
    "view a.p --no-browser of doubling tuple as an id",
    f"{NAMED} --output out --starts starts.npy of zeros without end",
}


def refuse(place: Path, line: str) -> str:
    """Run a command line in `place` with little memory; it must end soon, in one line, and write nothing."""
    before = contents(place)
    memory = 4 * MEMORY if line.startswith("tune") else MEMORY  # to import Ray takes more
    done = subprocess.run(
        [sys.executable, "-m", "spane_rllib", *shlex.split(line)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": REPOSITORY, "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=ANSWER_S,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
    )
    assert contents(place) == before
    return check_refusal(done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("name", "line", "make"),
    [
        case if case.id in QUICK else pytest.param(*case.values, id=case.id, marks=pytest.mark.slow)
        for case in CASES
    ],
)
def test_bomb(tmp_path: Path, name: str, line: str, make: Callable[[Path], None]) -> None:
    make(tmp_path / name)
    assert refuse(tmp_path, line)


def test_a_table_that_is_as_regular_as_one_can_be_is_read(tmp_path: Path) -> None:
    from spane_rllib.datasets.vm_traces.readers import read_trace

    rows = b"".join(b"%d,1,2,0,3600\n" % vm for vm in range(50_000))
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(HEAD + rows))
    assert np.array_equal(read_trace(path).trace.lifetime, np.full(50_000, 3600.0))

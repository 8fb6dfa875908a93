"""Whatever is in a file, a reader gives a valid result or a `UserError` of one line."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.datasets.vm_traces.readers import read_trace
from spane_rllib.datasets.vm_traces.splits import read_starts
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.identity import read_identity
from spane_rllib.experiments.results.tables import read_table
from spane_rllib.problems.problem import Problem
from spane_rllib.problems.registry import our_problems

FUZZ = settings(max_examples=150)
NPY = st.builds(
    lambda header, data: b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data,
    st.builds(
        "{{'descr': {}, 'fortran_order': {}, 'shape': {}{}".format,
        st.sampled_from(["'<f8'", "'<i8'", "'|O'", "'|b1'", "''", "None", "[('a', '<f8')]", "'<M8[s]'"]),
        st.sampled_from(["True", "False", "2"]),
        st.sampled_from(["(4, 1)", "(1,)", "()", "(4, 0)", "(0,)", "(-1,)", "4", f"({2**62}, 8)", "(1" * 99]),
        st.sampled_from(["}\n", ", }\n", "", ", 'b'", "}}", "\n\x00", "}  # (", ", 'x': [" + "[" * 200]),
    ),
    st.binary(max_size=40),
)
CELL = (
    st.integers(-2, 9).map(str)
    | st.sampled_from(["", " ", "nan", "inf", "-inf", "1e400", "0x1", "1_0", "2 ", "\u0661", '"', "1;2"])
    | st.text(max_size=3)
)
HEADS = st.sampled_from(
    ["vmid,cpu,mem,at,lt", "vmid,cpu,memory,time,type", "lt,at,mem,cpu,vmid", "vmid,cpu", ""]
)
CSV = st.builds(
    lambda head, rows, end: end.join([head, *(",".join(row) for row in rows)]).encode(errors="replace"),
    HEADS,
    st.lists(st.lists(CELL, min_size=4, max_size=6), max_size=6),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
)
ANY_FILE = st.binary(max_size=60) | CSV | NPY


def read_or_refuse(content: bytes, name: str, read: Callable[[Path], Any]) -> Any:
    """What `read` makes of a file of that name; None when it refuses it, in a line that names the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            return read(path)
        except UserError as error:
            assert str(path) in str(error)
            assert one_line(str(error)).isprintable()
            return None


@FUZZ
@given(content=ANY_FILE, skip=st.booleans(), keep=st.booleans())
def test_trace_reader(content: bytes, skip: bool, keep: bool) -> None:
    def read(path: Path) -> list[np.ndarray]:
        trace = read_trace(path, skip_invalid=skip, never_ending="keep" if keep else "drop").trace
        return [column.copy() for column in (trace.cpu, trace.memory, trace.arrival, trace.lifetime)]

    columns = read_or_refuse(content, "trace.csv", read)
    if columns is not None:
        cpu, memory, arrival, lifetime = columns
        assert len(cpu) == len(memory) == len(arrival) == len(lifetime) > 0
        assert np.isfinite([cpu, memory, arrival]).all()
        assert (cpu > 0).all() and (memory > 0).all() and (lifetime > 0).all()
        assert (arrival >= 0).all() and (np.diff(arrival) >= 0).all()
        assert keep or np.isfinite(lifetime).all()


ROW = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5), st.integers(1, 99))


@FUZZ
@given(
    rows=st.lists(ROW, min_size=1, max_size=6),
    row=st.integers(0, 5),
    column=st.integers(0, 4),
    cell=CELL.filter(lambda cell: "\0" not in cell),
)
def test_one_changed_cell_of_a_trace_is_read_or_named(
    rows: list[tuple[int, int, int, int]], row: int, column: int, cell: str
) -> None:
    rows.sort(key=lambda vm: vm[2])
    table = [[f"vm{i}", *map(str, vm)] for i, vm in enumerate(rows)]
    table[row % len(rows)][column] = cell
    content = "\n".join(["vmid,cpu,mem,at,lt", *(",".join(line) for line in table)]).encode(errors="replace")
    read_or_refuse(content, "trace.csv", lambda path: len(read_trace(path).trace))
    kept = read_or_refuse(content, "trace.csv", lambda path: len(read_trace(path, skip_invalid=True).trace))
    # Later rows can be wrong beside the changed one, by its time or name; those before it cannot.
    assert (kept or 0) >= row % len(rows)


@pytest.mark.parametrize("name", ["starts.npy", "starts.txt"])
@FUZZ
@given(
    content=ANY_FILE | st.lists(CELL, max_size=5).map(lambda cells: "\n".join(cells).encode(errors="replace"))
)
def test_starts_reader(name: str, content: bytes) -> None:
    starts = read_or_refuse(content, name, lambda path: read_starts(path, 5))
    assert starts is None or (len(starts) and ((starts >= 0) & (starts < 5)).all())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["name", "sha256", "size", "training"]) | st.text(max_size=3), inner),
    max_leaves=8,
).map(lambda data: json.dumps(data).encode()) | st.binary(max_size=30)  # fmt: skip


@FUZZ
@given(content=JSON)
def test_json_of_results_folders(content: bytes) -> None:
    stages = read_or_refuse(content, "stages.json", lambda path: ResultsFolder(path.parent).stages())
    assert stages is None or all(seconds >= 0 for seconds in stages.values())
    record = read_or_refuse(content, "identity.json", lambda path: read_identity(ResultsFolder(path.parent)))
    assert record is None or (record.size >= 0 and len(record.sha256) == 64)


@pytest.mark.parametrize("problem", our_problems(), ids=lambda problem: problem.name)
@FUZZ
@given(data=st.data())
def test_tables_of_results_folders(problem: Problem, data: st.DataObject) -> None:
    columns = problem.episode_columns
    tables = st.lists(st.lists(CELL, min_size=len(columns), max_size=len(columns)), max_size=3).map(
        lambda rows: "\n".join([",".join(columns), *map(",".join, rows)]).encode(errors="replace")
    )
    content = data.draw(st.binary(max_size=60) | tables)
    table = read_or_refuse(content, "episodes.csv", lambda path: read_table(path, columns))
    assert table is None or (len(table) and table[list(columns)].notna().all(axis=None))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    from spane_rllib.problems.vm_scheduling.networks.registry import build_network
    from spane_rllib.problems.vm_scheduling.networks.weights import (
        ModelMetadata,
        Normalisation,
        TraceIdentity,
        save_model,
    )

    metadata = ModelMetadata(
        servers=2,
        normalisation=Normalisation(node_cpu=40, node_memory=90, double_memory_threshold=10),
        trace=TraceIdentity(name="synthetic", sha256="0" * 64),
        seed=0,
    )
    folder = tmp_path_factory.mktemp("models") / "model"
    save_model(folder, build_network("spane", {"server_width": 2, "value_width": 2}, 2, 0), metadata)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@FUZZ
@given(
    name=st.sampled_from(["model.json", "weights.safetensors"]),
    at=st.floats(0, 1),
    removed=st.integers(0, 40),
    inserted=st.binary(max_size=8) | st.sampled_from([b"9", b"-", b"[", b'"', b"null", b"1e999"]),
)
def test_model_loader(model: dict[str, bytes], name: str, at: float, removed: int, inserted: bytes) -> None:
    import torch

    from spane_rllib.problems.vm_scheduling.networks.weights import load_model

    content = model[name]
    start = int(at * len(content))
    changed = content[:start] + inserted + content[start + removed :]

    def read(path: Path) -> Any:
        for other, data in model.items():
            if other != name:
                path.with_name(other).write_bytes(data)
        return load_model(path.parent)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(changed)
        try:
            network, metadata = read(path)
        except UserError as error:
            assert folder in str(error) and str(error).isprintable()
        else:
            assert metadata.servers >= 1
            assert all(torch.isfinite(tensor).all() for tensor in network.state_dict().values())

"""Recordings on disk: an `.npz` archive of plain columns with `metadata.json` inside."""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.core.files import replacing
from spane_rllib.core.reading import opened
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, parse_queue
from spane_rllib.problems.vm_scheduling.recordings.schedule import Events, Schedule, Servers, Vms

FORMAT = "spane_rllib schedule"
VERSION = 1
QUEUE_VERSION = 2
"""Of files that name a queue discipline; earlier ones are of first come, first served."""
NODES_VERSION = 3
"""Of files that also say how many nodes servers have, since some have one; in earlier ones all have two."""
_TABLES: dict[str, Any] = {"vms": Vms, "events": Events, "servers": Servers}
_TEXTS = ("policy", "trace", "trace_sha256", "source", "scenario")
_METADATA = "metadata.json"
_LARGEST_METADATA = 2**16
_LARGEST_COLUMN = 2**25  # bytes: 8 for each event of the longest schedule, and more
_LONGEST_TEXT = 4096
_TYPES = {"number": "<i8", "slot": "<i8", "vm": "<i8", "nodes": "<i8", "double": "|b1", "departure": "|b1"}
_NOTHING_ELSE = "give a file that evaluate --record wrote, or a .p file of VMAgent"
# A fixed date makes equal schedules equal files.
_DATE = (1980, 1, 1, 0, 0, 0)


def write_schedule(path: str | os.PathLike[str], schedule: Schedule) -> None:
    """Write `schedule` to `path` (`.npz`) in one step."""
    metadata = {"format": FORMAT, "version": VERSION, "start": schedule.start}
    metadata |= {name: getattr(schedule, name) for name in _TEXTS}
    if schedule.queue != FIFO.text:
        metadata |= {"version": QUEUE_VERSION, "queue": schedule.queue}
    left_out = "nodes"
    if (schedule.servers.nodes != 2).any():
        metadata |= {"version": NODES_VERSION, "queue": schedule.queue}
        left_out = ""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_member(_METADATA), json.dumps(metadata, indent=1))
        for table in _TABLES:
            for name, column in getattr(schedule, table)._asdict().items():
                if name == left_out:
                    continue
                with archive.open(_member(f"{table}.{name}.npy"), "w") as stream:
                    np.lib.format.write_array(stream, column.astype(_type(name)), allow_pickle=False)


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _type(column: str) -> np.dtype[Any]:
    return np.dtype(_TYPES.get(column, "<f8"))


def read_npz(file: Path) -> Schedule:
    """The schedule in `file`; sizes are checked before anything is unpacked.

    Raises:
        UserError: the file cannot be read, is no recording, or is damaged.
    """
    with opened(file) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                version, metadata = _read_metadata(archive)
                tables: dict[str, Any] = {}
                for table, kind in _TABLES.items():
                    names = [name for name in kind._fields if name != "nodes" or version >= NODES_VERSION]
                    columns = {name: _read_column(archive, table, name) for name in names}
                    if "nodes" in kind._fields and "nodes" not in columns:
                        columns["nodes"] = np.full(len(columns["node_cpu"]), 2)
                    tables[table] = kind(**columns)
                return Schedule(**metadata, **tables)
        except ValueError as error:
            raise UserError(f"{file}: not a valid recording ({error}); record the episode again") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise UserError(f"{file}: damaged or no recording ({error}); {_NOTHING_ELSE}") from error


def _read_member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ValueError(f"it holds no {name}") from None
    if info.file_size > largest:
        raise ValueError(f"{name} unpacks to {info.file_size:,} bytes; allowed are {largest:,}")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in a way that is not read")
    with archive.open(info) as stream:
        return stream.read(info.file_size)  # `archive.read` may unpack more than the size it declares


def _read_metadata(archive: zipfile.ZipFile) -> tuple[int, dict[str, Any]]:
    try:
        metadata = json.loads(_read_member(archive, _METADATA, _LARGEST_METADATA))
    except RecursionError:
        metadata = None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"{_METADATA} does not say that it is one")
    version = metadata.get("version")
    if version not in (VERSION, QUEUE_VERSION, NODES_VERSION):
        raise ValueError(f"format version {version!r}; this program reads {VERSION} to {NODES_VERSION}")
    texts = (*_TEXTS, "queue") if version >= QUEUE_VERSION else _TEXTS
    for name in texts:
        text = metadata.get(name)
        if not isinstance(text, str) or len(text) > _LONGEST_TEXT or not text.isprintable():
            raise ValueError(f"{_METADATA} has no usable {name}")
    if type(metadata.get("start")) is not int:
        raise ValueError(f"{_METADATA} has no usable start")
    found = {name: metadata[name] for name in (*texts, "start")}
    if version >= QUEUE_VERSION:
        _check_queue(found["queue"])
    return version, found


def _check_queue(text: str) -> None:
    try:
        known = parse_queue(text).text == text
    except UserError:
        known = False
    if not known:
        raise ValueError(f"{_METADATA} has no usable queue")


def _read_column(archive: zipfile.ZipFile, table: str, name: str) -> npt.NDArray[Any]:
    """A column after its header: a made-up shape must not reserve memory, so NumPy does not read the data."""
    stream = io.BytesIO(_read_member(archive, f"{table}.{name}.npy", _LARGEST_COLUMN))
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"version {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    except Exception as error:  # the header is a Python literal, and a damaged one can raise anything
        raise ValueError(f"{table}.{name} has no readable header: {error}") from error
    data = stream.read()
    expected = _type(name)
    if dtype != expected or len(shape) != 1 or len(data) != shape[0] * expected.itemsize:
        raise ValueError(f"{table}.{name} is not one column of {expected}")
    if expected == np.bool_ and max(data, default=0) > 1:
        raise ValueError(f"{table}.{name} holds values that are neither true nor false")
    return np.frombuffer(data, expected)

"""From what a configuration or a command line says to a trace, read once per process."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from spane_rllib.core.errors import UserError
from spane_rllib.core.reading import reading, user_path
from spane_rllib.core.shared import provided
from spane_rllib.datasets.catalog import DATASETS, PUBLIC_FORMS
from spane_rllib.datasets.vm_traces.readers import NeverEnding, read_trace
from spane_rllib.datasets.vm_traces.synthetic import synthesize
from spane_rllib.datasets.vm_traces.trace import VmTrace

DATA_VARIABLE = "SPANE_RLLIB_DATA"
"""Environment variable: the file or folder that "auto" reads."""

Source = str | os.PathLike[str] | None
Key = tuple[object, ...]

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_traces: dict[Key, VmTrace] = {}


def load_trace(
    source: VmTrace | Source = None, *, skip_invalid: bool = False, never_ending: NeverEnding = "drop"
) -> VmTrace:
    """The trace that `source` means; a second call in the same process returns the same object.

    Args:
        source: a `VmTrace` (returned as is); the path of a trace file, or of a folder that holds exactly one
            known dataset; "synthetic" or "synthetic:vms=20000,seed=3"; None or "auto" for what the
            environment variable SPANE_RLLIB_DATA names when something readable is there, else "synthetic";
            before all of these, what `core.shared.provide` has given that name.
        skip_invalid, never_ending: see `readers.read_trace`.

    Raises:
        UserError: the source means nothing, or its file is not a valid trace.
    """
    if isinstance(source, VmTrace):
        return source
    shared = provided("auto" if source is None else os.fspath(source))
    if isinstance(shared, VmTrace):
        return shared
    with _lock:
        resolved = resolve_source(source)
        if isinstance(resolved, Path):
            status = resolved.stat()
            key: Key = (resolved, status.st_mtime_ns, status.st_size, skip_invalid, never_ending)
        else:
            key = ("synthetic", resolved["vms"], resolved["seed"])
        if key not in _traces:
            _traces[key] = (
                read_trace(resolved, skip_invalid=skip_invalid, never_ending=never_ending).trace
                if isinstance(resolved, Path)
                else synthesize(**resolved)
            )
        return _traces[key]


def describe_source(trace: VmTrace) -> str:
    """One line for logs: name, length and content hash."""
    return f"{trace.name}, {len(trace):,} VMs, content sha256 {trace.sha256[:12]}"


def resolve_source(source: Source) -> Path | dict[str, int]:
    """The file that `source` means, or the arguments for `synthesize`."""
    if source is None or source == "auto":
        return _resolve_auto()
    text = os.fspath(source)
    if text == "synthetic" or text.startswith("synthetic:"):
        return _synthetic_arguments(text)
    path = Path(os.path.realpath(user_path(text)))
    with reading(path):
        if path.is_dir():
            return _dataset_in(path)
        if path.exists():
            return path
    raise UserError(f"no trace at {text}; give a file, a folder with a known dataset, or synthetic")


def _resolve_auto() -> Path | dict[str, int]:
    value = os.environ.get(DATA_VARIABLE)
    if value:
        try:
            return resolve_source(value)
        except UserError as error:
            _log.warning("%s is set but unusable (%s); using the synthetic trace", DATA_VARIABLE, error)
    return _synthetic_arguments("synthetic")


def _dataset_in(folder: Path) -> Path:
    readable = [dataset for dataset in DATASETS if dataset.form not in PUBLIC_FORMS]
    names = [dataset.file_name + suffix for dataset in readable for suffix in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"no known dataset in {folder} ({', '.join(names)}); give the path of a file")
    raise UserError(f"{folder} holds {', '.join(file.name for file in found)}; give the path of one file")


def _synthetic_arguments(text: str) -> dict[str, int]:
    arguments = {"vms": 120_000, "seed": 0}
    _, _, settings = text.partition(":")
    for setting in filter(None, settings.split(",")):
        name, _, value = setting.partition("=")
        if name.strip() not in arguments or not value.strip().isdecimal():
            raise UserError(
                f"{text}: cannot use {setting!r}; write synthetic:vms=20000,seed=3 (whole numbers)"
            )
        arguments[name.strip()] = int(value)
    return arguments

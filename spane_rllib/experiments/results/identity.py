"""What an experiment was begun with: it is only continued with the same trace and settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import Field, TypeAdapter

from spane_rllib import __version__
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import write_text
from spane_rllib.core.settings import Settings
from spane_rllib.experiments.results.folder import ResultsFolder, read_json
from spane_rllib.experiments.tuning.config import ExperimentConfig
from spane_rllib.problems.vm_scheduling.traces.trace import VmTrace

# What may change in between: where and how it runs, and how much of it is evaluated. The trace has a check
# of its own, by content, since the file may have moved.
_FREE: Any = {
    **dict.fromkeys(("name", "output", "keep_weights", "trace", "resources"), True),
    "evaluation": {"top_k", "servers", "heuristics"},
}
_ABSENT = object()
_VERSION = "spane_rllib"  # of the package, among the fixed settings


class TraceRecord(Settings):
    """`trace.json`."""

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="`VmTrace.sha256`")
    vms: int = Field(ge=1)


_TRACE = TypeAdapter(TraceRecord)
_SETTINGS = TypeAdapter(dict[str, Any])


def read_trace_record(folder: ResultsFolder) -> TraceRecord:
    """The trace that the experiment was begun with; a `UserError` when the file is missing or damaged."""
    return read_json(folder.trace_file, _TRACE)


def record_identity(folder: ResultsFolder, config: ExperimentConfig, trace: VmTrace) -> None:
    """Write down, where that is not done yet, what `check_identity` compares with."""
    if not folder.trace_file.exists():
        record = TraceRecord(name=trace.name, sha256=trace.sha256, vms=len(trace))
        write_text(folder.trace_file, record.model_dump_json(indent=2))
    if not folder.fixed_settings_file.exists():
        settings = {_VERSION: __version__, **_fixed(config)}
        write_text(folder.fixed_settings_file, json.dumps(settings, indent=2))


def check_identity(folder: ResultsFolder, config: ExperimentConfig, trace: VmTrace) -> None:
    """Raise a `UserError` unless `folder` was begun with this trace, these settings and this version."""
    if folder.trace_file.exists():
        known = read_trace_record(folder)
        if known.sha256 != trace.sha256:
            raise UserError(
                f"{folder.path} was made on trace {known.name} (sha256 {known.sha256[:12]}), but its "
                f"trace.source now is {trace.name} (sha256 {trace.sha256[:12]}); give it the first one again"
            )
    if folder.fixed_settings_file.exists():
        before = read_json(folder.fixed_settings_file, _SETTINGS)
        version = before.pop(_VERSION, __version__)
        if version != __version__:
            raise UserError(
                f"{folder.path} was begun with spane_rllib {version}, but this is {__version__}; continue it "
                f"with {version}, or begin another experiment under another name"
            )
        for key, old, new in _differences(before, _fixed(config)):
            raise UserError(
                f"{folder.config_file}: {key} is {_shown(new)}, but was {_shown(old)} when the experiment "
                "began; set it back, or begin another experiment under another name"
            )


def _fixed(config: ExperimentConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude=_FREE)


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            inner = f"{key}.{name}" if key else name
            yield from _differences(old.get(name, _ABSENT), new.get(name, _ABSENT), inner)
    elif old != new:
        yield key, old, new


def _shown(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value)

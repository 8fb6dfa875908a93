"""What an experiment was begun with: it is only continued with the same data and settings."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from datetime import date
from typing import Any

from pydantic import Field, TypeAdapter

from spane_rllib.core.errors import UserError
from spane_rllib.core.files import write_text
from spane_rllib.core.settings import Settings
from spane_rllib.core.version import __version__
from spane_rllib.experiments.results.folder import ResultsFolder, read_json
from spane_rllib.problems.problem import Identity

# What may change in between: where and how it runs, and how much of it is evaluated. The data has a check of
# its own, by content, since the file may have moved: see `Problem.changeable`.
_FREE = (
    "name",
    "output",
    "keep_weights",
    "resources",
    "workers",
    "evaluation.top_k",
    "evaluation.heuristics",
)
_ABSENT = object()
_VERSION = "spane_rllib"  # of the package, among the fixed settings


class IdentityRecord(Settings):
    """`identity.json`: the data, and when and where the run began."""

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="hash of the data's content")
    size: int = Field(ge=0)
    description: str
    begun: str = Field(description="date")
    machine: str

    def identity(self) -> Identity:
        """What the task was."""
        return Identity(self.name, self.sha256, self.size, self.description)


_RECORD = TypeAdapter(IdentityRecord)
_SETTINGS = TypeAdapter(dict[str, Any])


def read_identity(folder: ResultsFolder) -> IdentityRecord:
    """What the run was begun with; a `UserError` when the file is missing or damaged."""
    return read_json(folder.identity_file, _RECORD)


def record_identity(folder: ResultsFolder, config: Any, identity: Identity) -> None:
    """Write down, where that is not done yet, what `check_identity` compares with."""
    if not folder.identity_file.exists():
        record = IdentityRecord(
            name=identity.name,
            sha256=identity.sha256,
            size=identity.size,
            description=identity.description,
            begun=f"{date.today():%Y-%m-%d}",
            machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        )
        write_text(folder.identity_file, record.model_dump_json(indent=2))
    if not folder.fixed_settings_file.exists():
        settings = {_VERSION: __version__, **_fixed(config)}
        write_text(folder.fixed_settings_file, json.dumps(settings, indent=2))


def check_identity(folder: ResultsFolder, config: Any, identity: Identity) -> None:
    """Raise a `UserError` unless `folder` was begun with this data, these settings and this version."""
    if folder.identity_file.exists():
        known = read_identity(folder)
        if known.sha256 != identity.sha256:
            raise UserError(
                f"{folder.path} was made on {known.name} (sha256 {known.sha256[:12]}), but its configuration "
                f"now means {identity.name} (sha256 {identity.sha256[:12]}); give it the first one again"
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


def _fixed(config: Any) -> dict[str, Any]:
    fixed: dict[str, Any] = config.model_dump(mode="json")
    for key in (*_FREE, *config.about.changeable):
        *sections, last = key.split(".")
        within: Any = fixed
        for section in sections:
            within = within.get(section, {})
        within.pop(last, None)
    return fixed


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            inner = f"{key}.{name}" if key else name
            yield from _differences(old.get(name, _ABSENT), new.get(name, _ABSENT), inner)
    elif old != new:
        yield key, old, new


def _shown(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value)

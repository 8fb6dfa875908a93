"""Recordings as JSON files that name their problem, so that the viewer knows whose they are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spane_rllib.core.errors import UserError
from spane_rllib.core.files import write_text
from spane_rllib.datasets.text import read_text

SUFFIX = ".json"
_FORMAT = "spane_rllib recording"
_VERSION = 1


def write_recording(path: str | os.PathLike[str], problem: str, content: Mapping[str, Any]) -> None:
    """Write `content`, JSON values by name, as a recording of a problem (`.json`) in one step."""
    document = {"format": _FORMAT, "version": _VERSION, "problem": problem, **content}
    write_text(path, json.dumps(document, allow_nan=False, separators=(",", ":")) + "\n")


def read_recording(file: Path) -> tuple[str, dict[str, Any]]:
    """The name of the problem, and the content, which only that problem can check.

    Raises:
        UserError: the file cannot be read, or is no recording.
    """
    try:
        document = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: damaged or no recording; record the episode again") from error
    if not isinstance(document, dict) or document.pop("format", None) != _FORMAT:
        raise UserError(f"{file}: no recording; give a file that evaluate --record wrote")
    if document.pop("version", None) != _VERSION:
        raise UserError(f"{file}: a recording of another version; record the episode again")
    problem = document.pop("problem", None)
    if not isinstance(problem, str):
        raise UserError(f"{file}: names no problem; record the episode again")
    return problem, document

"""Model directories: a safetensors and a JSON file, which load without Ray and never unpickle anything."""

from __future__ import annotations

import shutil
from pathlib import Path

from spane_rllib.core.errors import UserError

WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"


def copy_model(source: Path, target: Path) -> None:
    """Copy a model directory in one step; `target` must not exist yet."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in (WEIGHTS_FILE, MODEL_FILE):
            shutil.copyfile(source / name, partial / name)
        partial.rename(target)
    except OSError as error:
        raise UserError(f"cannot copy {source} to {target}: {error.strerror or error}") from error

"""The YAML files that the package ships, by name."""

from __future__ import annotations

import textwrap
from pathlib import Path


def presets_in(folder: Path) -> dict[str, Path]:
    """The YAML files that `folder` ships, by name without `.yaml`."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def presets_of(kind: str = "") -> dict[str, Path]:
    """The shipped configurations of a kind, under whatever problem, by name.

    Args:
        kind: folder in that of the problem; experiments have none.
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / "tune_configs"  # a wheel carries them inside the package
    presets = installed if installed.is_dir() else package.parent / "tune_configs"
    files = {name: file for folder in presets.glob("*/") for name, file in presets_in(folder / kind).items()}
    return dict(sorted(files.items()))


def presets_text(kind: str = "") -> str:
    """The names of `presets_of(kind)` for the end of a command's help."""
    return textwrap.fill(f"Presets: {', '.join(presets_of(kind))}.", 110)

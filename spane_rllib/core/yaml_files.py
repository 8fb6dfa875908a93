"""YAML files by path, or by name where the package ships them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.reading import read_bytes
from spane_rllib.core.strict_yaml import parse_yaml
from spane_rllib.core.words import suggestion

MAX_BYTES = 256 * 1024


def find_yaml(source: str | os.PathLike[str], presets: Mapping[str, Path]) -> Path:
    """The file that `source` means: a path, or the name of one of the `presets`.

    Raises:
        UserError: there is neither.
    """
    path = Path(source)
    name = path.name.removesuffix(".yaml")
    try:
        if path.is_file():
            return path
        if path.name == str(path) and name in presets:
            return presets[name]
        if path.is_dir():
            raise UserError(
                one_line(f"{path}: is a folder; name a YAML file or a preset: {', '.join(presets)}")
            )
    except (OSError, ValueError) as error:  # no permission, a name too long, a NUL in it
        raise UserError(f"cannot read {str(path)[:200]!r}: {getattr(error, 'strerror', error)}") from error
    raise UserError(one_line(f"{str(path)!r}: no such file, and no such preset; {suggestion(name, presets)}"))


def read_mapping(path: Path, example: str) -> tuple[str, dict[str, Any]]:
    """How messages call the file at `path`, and what it holds; `example` is told who gives no mapping.

    Raises:
        UserError: the file cannot be read or holds no keys and values.
    """
    here = Path.cwd()
    where = one_line(str(path.relative_to(here) if path.is_relative_to(here) else path))
    data = parse_yaml(_read(path, where), where)
    if not isinstance(data, dict):
        raise UserError(f"{where}: must hold keys and values ({example})")
    return where, data


def _read(path: Path, where: str) -> str:
    content = read_bytes(path, MAX_BYTES, "a configuration")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where}: not text in UTF-8 (byte {error.start}); not a configuration file"
        ) from error
    if not text.strip():
        raise UserError(f"{where}: the file is empty")
    return text

"""What a job uploads: the package's sources and little else, and never more than a limit."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

import spane_rllib
from spane_rllib.core.errors import UserError, one_line

_CACHES = {"__pycache__", "node_modules"}
# Only at the top: a package may well have a folder called data.
_NOT_SOURCES = {"results", "data", "build", "dist"}

# Files and folders that hold keys and passwords by custom; hidden ones are never taken.
_SECRETS = ("id_*", "*.pem", "*.key", "*.p12", "*.pfx", "credentials*", "secrets")

Upload = Mapping[str, Path]
"""Files by their path within the upload."""


def sources_of(folder: Path) -> dict[str, Path]:
    """The files below `folder` without hidden ones, caches, virtual environments, results and data.

    Symbolic links to folders are not followed. What looks like a secret by its name is left out, and said so.

    Raises:
        UserError: there is no such folder, or something in it is a link to outside, a pipe or a device.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the one that holds the sources to upload")
    found = {str(file.relative_to(folder)): file for file in _walk(folder)}
    secrets = [name for name in found if _is_secret(name)]
    if secrets:
        shown = ", ".join(secrets[:10]) + (" ..." if len(secrets) > 10 else "")
        print(one_line(f"not uploaded, since the names are those of secrets: {shown}"), file=sys.stderr)
    taken = {name: file for name, file in found.items() if name not in secrets}
    within = os.path.realpath(folder)
    for file in taken.values():
        if os.path.commonpath([within, os.path.realpath(file)]) != within:
            raise UserError(
                one_line(f"{file} is a link to outside of {folder}, which is not uploaded; remove it there")
            )
        if file.exists() and not file.is_file():
            raise UserError(one_line(f"{file} is no regular file; remove it"))
    return taken


def _is_secret(name: str) -> bool:
    """Whether a part of the path is called like secrets are; modules called `id_*.py` are none."""
    return any(
        fnmatch(part.lower(), pattern) and not (pattern == "id_*" and part.endswith(".py"))
        for part in Path(name).parts
        for pattern in _SECRETS
    )


def package_sources() -> dict[str, Path]:
    """The sources of this package and its presets, as they lie beside each other in a checkout."""
    package = Path(spane_rllib.__file__).resolve().parent
    folders = [package, package.parent / "tune_configs"]  # a wheel carries the presets inside the package
    return {
        str(file.relative_to(package.parent)): file
        for folder in folders
        if folder.is_dir()
        for file in _walk(folder)
    }


def pack(upload: Upload, target: Path, limit_bytes: int) -> int:
    """Copy `upload` below `target`; returns the bytes.

    Raises:
        UserError: it is larger than `limit_bytes` (nothing is copied), or a file cannot be read.
    """
    try:
        sizes = {name: file.stat().st_size for name, file in upload.items()}
        total = sum(sizes.values())
        if total > limit_bytes:
            largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
            raise UserError(
                f"the upload would be {_readable(total)} in {len(sizes):,} files, the limit is "
                f"{_readable(limit_bytes)}; the largest are "
                + ", ".join(f"{name} ({_readable(sizes[name])})" for name in largest)
                + "; move data to storage the nodes share, or raise --max-upload"
            )
        for name, file in upload.items():
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    except OSError as error:
        raise UserError(f"cannot pack {error.filename}: {error.strerror or error}") from error
    return total


def _walk(top: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(top):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _CACHES
            and not name.endswith(".egg-info")
            and not (here == top and name in _NOT_SOURCES)
            and not (here / name / "pyvenv.cfg").exists()
        )
        yield from (here / name for name in sorted(files) if not name.startswith("."))


def _readable(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size / 2**10:,.0f} KiB"

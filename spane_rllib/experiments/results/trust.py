"""Whose a results folder is: continuing one unpickles what Tune has saved, which can run any code."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

from spane_rllib.core.errors import UserError
from spane_rllib.core.files import write_text
from spane_rllib.core.reading import read_bytes
from spane_rllib.experiments.results.folder import ResultsFolder

_MACHINE_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_LARGEST = 200  # bytes of a mark


def record_owner(folder: ResultsFolder) -> None:
    """Mark the folder as made by this user on this machine."""
    if not _is_own(folder):
        write_text(folder.owner_file, _mark(folder))


def check_owner(folder: ResultsFolder) -> None:
    """Raise a `UserError` unless `record_owner` has marked the folder, which may have been moved since.

    A copy has no valid mark: else the mark of a folder that was given away would open one that comes back.
    """
    if not _is_own(folder):
        raise UserError(
            f"{folder.path} was not made by this user on this machine, or was copied; continuing it runs "
            "code out of its files: only if you trust whoever made it, do so with --trust"
        )


def _is_own(folder: ResultsFolder) -> bool:
    try:
        return read_bytes(folder.owner_file, _LARGEST, "a mark") == _mark(folder).encode()
    except UserError:
        return False


def _mark(folder: ResultsFolder) -> str:
    """Nobody else can make it: the machine's identity is kept confidential (man 5 machine-id)."""
    machine = next((Path(name).read_text() for name in _MACHINE_FILES if os.access(name, os.R_OK)), "")
    parts = (machine.strip() or socket.gethostname(), os.getuid(), folder.path.stat().st_ino)
    return hashlib.sha256(f"spane_rllib {parts}".encode()).hexdigest()

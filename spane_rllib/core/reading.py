"""The one place where files of a user's are opened: regular files only, up to a limit."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from spane_rllib.core.errors import UserError

MAX_TABLE = 1 << 30
"""Bytes of a table that is read at most."""

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


@contextmanager
def reading(file: str | os.PathLike[str]) -> Iterator[None]:
    """Turn errors of the file system while reading `file` into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}; give a readable file") from error


@contextmanager
def opened(file: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """The bytes of `file`, for the block; errors while they are read become a `UserError` too.

    Raises:
        UserError: it cannot be read, or is a pipe or a device, which may block or never end.
    """
    with reading(file):
        try:
            # Without O_NONBLOCK a pipe would block here until somebody writes to it.
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except ValueError as error:  # a NUL in the name
            raise UserError(f"cannot read {str(file)!r}: {error}") from error
        with os.fdopen(descriptor, "rb") as stream:
            kind = _KINDS.get(stat.S_IFMT(os.fstat(descriptor).st_mode))
            if kind is not None:
                raise UserError(f"cannot read {file}: it is {kind}; save what comes out of it first")
            yield stream


def read_bytes(file: str | os.PathLike[str], largest: int, what: str) -> bytes:
    """All of `file`; a `UserError` if it is longer than `largest` bytes, which no `what` is."""
    with opened(file) as stream:
        data = stream.read(largest + 1)
    if len(data) > largest:
        raise UserError(f"{file}: larger than {largest:,} bytes; {what} is never so large")
    return data


def user_path(text: str | os.PathLike[str]) -> Path:
    """The absolute path that a user means by `text`, which may begin with `~`; no link is followed.

    Raises:
        UserError: there is no such user.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise UserError(f"{os.fspath(text)[:200]}: there is no home folder of that name") from error

"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spane_rllib.core.errors import UserError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place, on failure it is removed.

    Creates the parent folder. Errors of the file system (read-only, full disk) become a `UserError`.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
        os.close(handle)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes it private; give it the mode a plain open() would
        temporary.replace(target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8) to `path` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _nearest_existing(target: Path) -> Path:
    """`target` or the nearest folder above it that exists; an `OSError` where the rest could not be made."""
    missing: list[str] = []
    for path in (target, *target.parents):
        try:
            path.stat()
        except FileNotFoundError:
            if path.is_symlink():  # to nowhere
                raise
            missing.append(path.name)
        else:
            if any(len(os.fsencode(name)) > os.pathconf(path, "PC_NAME_MAX") for name in missing):
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
            return path
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Raise a `UserError` unless files can be written in `folder`, or where it would be made.

    Writes a file without a name to find out; nothing is left.
    """
    target = Path(folder)
    try:
        existing = _nearest_existing(target)
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(bytes(4096))
            probe.flush()
    except OSError as error:
        raise UserError(
            f"cannot write to {target}: {error.strerror or error}; give another folder"
        ) from error


def check_file_writable(file: str | os.PathLike[str]) -> None:
    """Raise a `UserError` unless `file` is a regular file that can be written, or can be made; see above."""
    target = Path(file)
    try:
        reason = "" if target.is_file() or not os.path.lexists(target) else "it is no regular file"
        if target.is_file() and not os.access(target, os.W_OK):
            reason = os.strerror(errno.EACCES)
    except OSError as error:  # a name too long
        reason = error.strerror or str(error)
    if reason:
        raise UserError(f"cannot write {target}: {reason}; give another file")
    check_writable(target.parent)

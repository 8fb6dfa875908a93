"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spane_rllib.core.errors import UserError, one_line

_FILE = ".lock"
_LONGEST = 200  # bytes of who holds it


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder`, which is made if absent, for the block.

    The system frees the lock when its process ends in whatever way, so that none is ever stale; the file that
    is left then is used again. File systems that know no locks are not protected.

    Raises:
        UserError: another process holds it, or it cannot be written.
    """
    file, made = folder / _FILE, not folder.exists()
    descriptor = _acquire(file)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode()[:_LONGEST], 0)
        yield
    finally:
        with suppress(OSError):
            file.unlink()
        os.close(descriptor)
        if made:
            with suppress(OSError):  # something is in it
                folder.rmdir()


def _acquire(file: Path) -> int:
    while True:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise UserError(f"cannot write {file}: {error.strerror or error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, _LONGEST, 0).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise UserError(
                one_line(f"{file.parent} is in use by {holder}; wait for its end, or choose another folder")
            ) from error
        except OSError:  # no locks on this file system
            return descriptor
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), file.stat()):
                return descriptor
        os.close(descriptor)  # its holder removed it between the two

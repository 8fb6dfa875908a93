"""Text files, gzip or not, with one clear line for everything that can be wrong with one."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spane_rllib.core.errors import UserError

_GZIP_MAGIC = b"\x1f\x8b"
MAX_BYTES = 1 << 30
"""Text that is read at most; parsing takes several times as much memory."""


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, gunzipped when it is gzip, with newlines as line ends.

    Raises:
        UserError: the file cannot be read, is empty, binary, damaged gzip, in another encoding or larger than
            `MAX_BYTES`.
    """
    with reading(file), file.open("rb") as stream:
        packed = stream.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        stream.seek(0)
        try:
            data = (gzip.GzipFile(fileobj=stream) if packed else stream).read(MAX_BYTES + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(
                f"{file}: gzip data is damaged or cut short ({error}); fetch the file again"
            ) from error
    if len(data) > MAX_BYTES:
        raise UserError(
            f"{file} holds more than {MAX_BYTES:,} bytes of text{', unpacked' if packed else ''}; "
            "give a shorter trace, or a .npy file, which stays on disk"
        )
    if not data.strip():
        raise UserError(f"{file} is empty; give a file with a header and rows")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{file} is encoded as UTF-16; save it as UTF-8")
    if b"\0" in data:
        raise UserError(f"{file} is a binary file; give a CSV file (gzip allowed) or a .npy file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}, row {row}: not UTF-8 text; save the file as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn errors of the file system while reading `file` into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}; give a readable file") from error

"""Text files, gzip or not, with one clear line for everything that can be wrong with one."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from spane_rllib.core.errors import UserError
from spane_rllib.core.reading import opened

MAX_BYTES = 1 << 30
"""Text that is read at most; parsing takes several times as much memory."""
MAX_LINES = 20_000_001
"""A header, and the creations and deletions of ten million VMs."""
MAX_COLUMNS = 100
MAX_RATIO = 100
"""How many times as large as its gzip a text may be; traces come to 3 to 10, and made-up ones to 30."""

_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK = 1 << 20
_SHORTER = "give a shorter file, or a trace as .npy, which stays on disk"


def read_text(file: Path, *, in_lines: bool = False) -> str:
    """The text of a UTF-8 file; see `read_utf8`."""
    return read_utf8(file, in_lines=in_lines).decode()


def read_utf8(file: Path, *, in_lines: bool = False) -> bytearray:
    """A UTF-8 file, gunzipped when it is gzip, with newlines as line ends and no byte order mark.

    Args:
        file: the file.
        in_lines: whether it must be a table, or something else in lines of moderate length and number.

    Raises:
        UserError: the file cannot be read, is empty, binary, damaged gzip, in another encoding, or beyond a
            limit: in bytes, in how far it unpacks; `in_lines` also in lines, in bytes of a line, in columns.
    """
    data = bytearray()
    try:
        with opened(file) as stream:
            for block in _blocks(stream, file, in_lines):
                data += block
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"{file}: gzip data is damaged or cut short ({error}); fetch the file again"
        ) from error
    if not data or data.isspace():
        raise UserError(f"{file} is empty; give a file with a header and rows")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{file} is encoded as UTF-16; save it as UTF-8")
    if b"\0" in data:
        raise UserError(f"{file} is a binary file; give a CSV file (gzip allowed) or a .npy file")
    if data.startswith(codecs.BOM_UTF8):
        del data[: len(codecs.BOM_UTF8)]
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            row = data.count(b"\n", 0, error.start) + 1
            raise UserError(f"{file}, row {row}: not UTF-8 text; save the file as UTF-8") from error
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not in_lines:
        return data
    if (lines := data.count(b"\n")) > MAX_LINES:
        raise UserError(f"{file} has {lines:,} lines; read are at most {MAX_LINES:,}; {_SHORTER}")
    end = data.find(b"\n")
    if (columns := data.count(b",", 0, end if end >= 0 else None) + 1) > MAX_COLUMNS:
        raise UserError(f"{file}, row 1: {columns:,} columns; a table has at most {MAX_COLUMNS}")
    return data


def _blocks(stream: BufferedReader, file: Path, in_lines: bool) -> Iterator[bytes]:
    """What the file holds, unpacked, up to the limits."""
    packed = stream.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    stream.seek(0)
    largest = MAX_BYTES
    if packed:
        largest = min(largest, MAX_RATIO * os.fstat(stream.fileno()).st_size + _BLOCK)
    source = gzip.GzipFile(fileobj=stream) if packed else stream
    size = 0
    while block := source.read(_BLOCK):
        size += len(block)
        if size > largest:
            unpacked = ", unpacked" if packed else ""
            raise UserError(f"{file} holds more than {largest:,} bytes of text{unpacked}; {_SHORTER}")
        if in_lines and len(block) == _BLOCK and b"\n" not in block and b"\r" not in block:
            raise UserError(f"{file} has a line of more than {_BLOCK:,} bytes; give a table in lines")
        yield block

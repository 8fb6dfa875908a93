"""Downloading a dataset: resumable, checked, and never leaving half a file under the final name."""

from __future__ import annotations

import errno
import hashlib
import http
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spane_rllib.core.errors import UserError
from spane_rllib.core.files import check_writable
from spane_rllib.core.reading import opened
from spane_rllib.datasets.catalog import KNOWN
from spane_rllib.datasets.dataset import Dataset

ProgressCallback = Callable[[int, int | None], None]
"""Called with (bytes so far, bytes in all or None when the server does not say)."""

_CHUNK = 1 << 16
_TIMEOUT_S = 30.0
_MOST = 1 << 31  # bytes, where the size is not known


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Hash of a file's bytes, in hexadecimal."""
    with opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def recognise_file(path: str | os.PathLike[str]) -> Dataset | None:
    """The known dataset that is byte for byte this file, or None."""
    digest = file_sha256(path)
    return next((dataset for dataset in KNOWN if dataset.sha256 == digest), None)


def fetch(
    dataset: Dataset, folder: str | os.PathLike[str], progress: ProgressCallback = lambda done, total: None
) -> Path:
    """Download a dataset into `folder` and return the file's path.

    What arrived of a broken download stays as `FILE.part`, and the next call asks the server for the rest. A
    file that is already there is checked instead of downloaded.

    Raises:
        UserError: there is no URL or none answers, the body ends early, size or hash are wrong, or the disk
            is full.
    """
    if not dataset.urls:
        raise UserError(
            f"{dataset.name} is not fetched by this command: {dataset.notes} See {dataset.homepage}"
        )
    target = Path(folder) / dataset.file_name
    if target.exists():
        _check_content(dataset, target, f"{target} exists but is not the published file; move it away")
        return target
    check_writable(folder)
    part = target.with_name(target.name + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        _download_from_any(dataset, target, part, progress)
        try:
            _check_content(dataset, part, "the download is not the published file; fetch it again")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
            _tag_file(part).unlink(missing_ok=True)
    except OSError as error:
        hint = "free some space and fetch again" if error.errno == errno.ENOSPC else "choose another folder"
        raise UserError(f"cannot write {part}: {error.strerror or error}; {hint}") from error
    return target


def _check_content(dataset: Dataset, file: Path, complaint: str) -> None:
    size = file.stat().st_size
    if dataset.size is not None and size != dataset.size:
        raise UserError(f"{complaint} ({size:,} bytes instead of {dataset.size:,})")
    if dataset.sha256 is not None and (digest := file_sha256(file)) != dataset.sha256:
        raise UserError(f"{complaint} (sha256 {digest} instead of {dataset.sha256})")


def _download_from_any(dataset: Dataset, target: Path, part: Path, progress: ProgressCallback) -> None:
    failures = []
    for url in dataset.urls:
        try:
            _download(url, part, dataset, progress)
            return
        except urllib.error.HTTPError as error:
            failures.append(f"{url}: {error.code} {error.reason}")
        except http.client.HTTPException as error:
            failures.append(f"{url}: {error}")
    arrived = f" ({part.stat().st_size:,} bytes are kept, fetch again to resume)" if part.exists() else ""
    raise UserError(
        f"cannot download {dataset.name}: {'; '.join(failures)}{arrived}; or download it by hand, save it as "
        f"{target} and run: spane-rllib data verify {target}"
    )


def _download(url: str, part: Path, dataset: Dataset, progress: ProgressCallback) -> None:
    """Bring `part` up to the whole body.

    Raises:
        HTTPError: the server refuses.
        HTTPException: the network fails, or the body ends early.
    """
    tag_file = _tag_file(part)
    have = part.stat().st_size if part.exists() else 0
    if have and have == dataset.size:
        return
    tag = tag_file.read_text() if tag_file.exists() else ""
    request = urllib.request.Request(
        url, headers={"User-Agent": "spane-rllib", "Accept-Encoding": "identity"}
    )
    # Without a tag or a known hash nothing would tell an old beginning from a new rest.
    if have and (tag or dataset.sha256):
        request.add_header("Range", f"bytes={have}-")
        if tag:
            request.add_header("If-Range", tag)
    try:
        with _network_errors():
            response = _OPENER.open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        part.unlink()  # longer than the file, so not a beginning of it
        _download(url, part, dataset, progress)
        return
    with response:
        content_range = response.headers.get("Content-Range", "")
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT and content_range.startswith(
            f"bytes {have}-"
        )
        have = have if resumed else 0
        length = response.headers.get("Content-Length", "")
        if length and not (length.isascii() and length.isdecimal() and len(length) < 19):
            raise http.client.HTTPException(f"the server says a length of {length[:40]!r}")
        total = have + int(length) if length else None
        tag = response.headers.get("ETag", "")
        tag_file.write_text("" if tag.startswith("W/") else tag)  # a weak tag does not promise equal bytes
        with part.open("ab" if resumed else "wb") as stream:
            while chunk := _read(response):
                stream.write(chunk)
                have += len(chunk)
                progress(have, total)
                if have > (dataset.size or _MOST):
                    if dataset.size is None:
                        raise http.client.HTTPException(f"more than {_MOST:,} bytes come")
                    return  # not the file; the check of the size says so
    if total is not None and have < total:
        raise http.client.HTTPException(f"the connection ended after {have:,} of {total:,} bytes")


def _read(response: http.client.HTTPResponse) -> bytes:
    with _network_errors():
        return response.read(_CHUNK)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to HTTPS, and from HTTP to HTTP; urllib itself would go on to FTP."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        scheme = urllib.parse.urlsplit(newurl).scheme.lower()
        if scheme not in {"https", req.type}:
            raise urllib.error.HTTPError(req.full_url, code, f"redirects to {newurl[:200]}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_Redirects)


@contextmanager
def _network_errors() -> Iterator[None]:
    """Tell errors of the network from those of the disk, which are `OSError`s too."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except OSError as error:
        raise http.client.HTTPException(str(getattr(error, "reason", error))) from error


def _tag_file(part: Path) -> Path:
    """Where the ETag of a partial download is kept."""
    return part.with_name(part.name + ".etag")

"""Downloads from a server on this machine that can be told to misbehave."""

import dataclasses
import errno
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.datasets import fetch as fetch_module
from spane_rllib.datasets.catalog import KNOWN, find_dataset
from spane_rllib.datasets.dataset import Dataset
from spane_rllib.datasets.fetch import fetch, recognise_file

BODY = bytes(range(256)) * 1000


class Server(ThreadingHTTPServer):
    """Serves `body` at /file and a redirect to it at /moved; the other attributes are its faults."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.etag = '"1"'
        self.cut_at: int | None = None  # bytes of the body after which the connection ends
        self.ignore_range = False
        self.length: str | None = None  # that is told in place of the true one
        self.location = "/file"  # of /moved
        self.requests: list[tuple[str, str | None]] = []  # path, Range header

    def url(self, path: str = "/file") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.requests.append((self.path, wanted))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", server.location)
            self.end_headers()
            return
        if self.path != "/file":
            self.send_error(404)
            return
        start = 0
        if wanted and not server.ignore_range and self.headers.get("If-Range", server.etag) == server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(server.body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", server.length or str(len(server.body) - start))
        self.end_headers()
        self.wfile.write(server.body[start : server.cut_at])


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def dataset_at(*urls: str, body: bytes | None = BODY) -> Dataset:
    """A made-up dataset; without `body`, one whose size and hash nobody knows."""
    return dataclasses.replace(
        find_dataset("huawei-east-1-lt"),
        name="made-up",
        file_name="made-up.csv",
        urls=urls,
        size=None if body is None else len(body),
        sha256=None if body is None else hashlib.sha256(body).hexdigest(),
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_download(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    path = fetch(dataset_at(server.url()), tmp_path / "new", lambda *step: steps.append(step))
    assert path.read_bytes() == BODY
    assert names(tmp_path / "new") == ["made-up.csv"]
    assert steps[-1] == (len(BODY), len(BODY))
    assert steps == sorted(steps)


def test_redirect(server: Server, tmp_path: Path) -> None:
    assert fetch(dataset_at(server.url("/moved")), tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "FTP://127.0.0.1/x", "a:b"])
def test_redirect_to_elsewhere(server: Server, tmp_path: Path, location: str) -> None:
    server.location = location
    with pytest.raises(UserError, match=r"302 (redirects to|Found)"):
        fetch(dataset_at(server.url("/moved")), tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("length", ["abc", "-5", "1e3", "9" * 5000, "\u00b2"])
def test_a_length_that_is_no_number(server: Server, tmp_path: Path, length: str) -> None:
    server.length = length
    with pytest.raises(UserError, match="the server says a length of "):
        fetch(dataset_at(server.url()), tmp_path)


def test_a_body_without_end(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "_MOST", 1000)
    with pytest.raises(UserError, match="more than 1,000 bytes come"):
        fetch(dataset_at(server.url(), body=None), tmp_path)


def test_a_file_already_there_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    fetch(dataset_at(server.url()), tmp_path)
    fetch(dataset_at(server.url()), tmp_path)
    assert len(server.requests) == 1
    (tmp_path / "made-up.csv").write_bytes(b"mine")
    with pytest.raises(UserError, match="exists but is not the published file; move it away"):
        fetch(dataset_at(server.url()), tmp_path)
    assert (tmp_path / "made-up.csv").read_bytes() == b"mine"


def test_a_broken_download_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cut_at = 100_000
    with pytest.raises(UserError, match=r"ended after 100,000 of 256,000 bytes \(100,000 bytes are kept"):
        fetch(dataset_at(server.url()), tmp_path)
    assert names(tmp_path) == ["made-up.csv.part", "made-up.csv.part.etag"]
    server.cut_at = None
    assert fetch(dataset_at(server.url()), tmp_path).read_bytes() == BODY
    assert server.requests[-1] == ("/file", "bytes=100000-")
    assert names(tmp_path) == ["made-up.csv"]


@pytest.mark.parametrize("fault", ["range ignored", "content changed", "part too long", "no tag, no hash"])
def test_what_cannot_be_resumed_starts_over(server: Server, tmp_path: Path, fault: str) -> None:
    server.cut_at = 100_000
    with pytest.raises(UserError):
        fetch(dataset_at(server.url()), tmp_path)
    server.cut_at = None
    dataset = dataset_at(server.url())
    if fault == "range ignored":
        server.ignore_range = True
    elif fault == "content changed":
        server.body, server.etag = BODY[::-1], '"2"'
        dataset = dataset_at(server.url(), body=server.body)
    elif fault == "part too long":
        (tmp_path / "made-up.csv.part").write_bytes(BODY + b"more")
    else:
        (tmp_path / "made-up.csv.part.etag").unlink()
        dataset = dataset_at(server.url(), body=None)
    assert fetch(dataset, tmp_path).read_bytes() == server.body
    assert names(tmp_path) == ["made-up.csv"]


def test_a_wrong_file_is_refused_and_removed(server: Server, tmp_path: Path) -> None:
    wrong_hash = dataset_at(server.url(), body=BODY[::-1])
    with pytest.raises(
        UserError, match=r"not the published file; fetch it again \(sha256 [0-9a-f]{64} instead of"
    ):
        fetch(wrong_hash, tmp_path)
    with pytest.raises(UserError, match="bytes instead of 10"):
        fetch(dataset_at(server.url(), body=BODY[:10]), tmp_path)
    assert names(tmp_path) == []


def test_unknown_size_and_hash(server: Server, tmp_path: Path) -> None:
    assert fetch(dataset_at(server.url(), body=None), tmp_path).read_bytes() == BODY


def test_missing_at_one_url_found_at_the_next(server: Server, tmp_path: Path) -> None:
    assert fetch(dataset_at(server.url("/gone"), server.url()), tmp_path).read_bytes() == BODY


def test_not_found(server: Server, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=re.escape(f"{server.url('/gone')}: 404 Not Found; or download it by hand")
    ):
        fetch(dataset_at(server.url("/gone")), tmp_path)
    assert names(tmp_path) == []


def test_offline(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        with pytest.raises(
            UserError, match=r"Connection refused.*save it as .*made-up.csv and run: spane-rllib"
        ):
            fetch(dataset_at(url), tmp_path)


def test_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch_module.Path, "write_text", full)
    with pytest.raises(UserError, match=r"cannot write .*No space left on device; free some space"):
        fetch(dataset_at(server.url()), tmp_path)


def test_a_folder_that_is_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        fetch(dataset_at(server.url()), tmp_path / "file")


def test_recognise_file(huawei_file: Path, tmp_path: Path) -> None:
    assert recognise_file(huawei_file) is find_dataset("huawei-east-1-lt")
    (tmp_path / "other").write_bytes(b"other")
    assert recognise_file(tmp_path / "other") is None


def test_what_is_fetched_by_hand_says_where(tmp_path: Path) -> None:
    by_hand = [dataset for dataset in KNOWN if not dataset.urls]
    assert by_hand
    for dataset in by_hand:
        with pytest.raises(UserError, match=r"not fetched by this command: .*https?://"):
            fetch(dataset, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_dataset_has_its_terms() -> None:
    for dataset in KNOWN:
        assert dataset.licence and dataset.citation and dataset.homepage.startswith("https://")
    assert len({dataset.name for dataset in KNOWN}) == len(KNOWN)

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from refusals import MountDisk, Refuse, refuse_in

from spane_rllib.core import shared
from spane_rllib.datasets.vm_traces import loading


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the command: empty, and without data of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(loading.DATA_VARIABLE, raising=False)
    monkeypatch.setattr(loading, "_traces", {})
    monkeypatch.setattr(shared, "_PROVIDED", {})
    return tmp_path


@pytest.fixture
def refuse(place: Path, capfd: pytest.CaptureFixture[str]) -> Refuse:
    """Runs a bad command line in `place` and returns its error line."""
    return refuse_in(place, capfd)


@pytest.fixture
def broken_module(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """`broken_module` can be found, and fails."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "broken_module.py").write_text("raise ValueError('two\\nlines')\n")
    monkeypatch.syspath_prepend(folder)


@pytest.fixture
def mount_disk(place: Path) -> Iterator[MountDisk]:
    """Mounts a small file system at `disk`."""
    folder = place / "disk"
    folder.mkdir()

    def mount(size: int) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        mounted = subprocess.run(command, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"mounting a small file system is not permitted: {mounted.stderr.strip()}")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", folder], check=True)

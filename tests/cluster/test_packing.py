"""What an upload contains, and when it is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spane_rllib.cluster.packing import pack, package_sources, sources_of
from spane_rllib.core.errors import UserError


def fill(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)


def test_only_sources_are_taken(tmp_path: Path) -> None:
    kept = ["mine.py", "mine/data/table.csv", "mine/results/code.py"]
    fill(tmp_path, *kept)
    fill(
        tmp_path,
        ".git/HEAD",
        ".env",
        "data/trace.csv",
        "results/quick/report.md",
        "mine/__pycache__/mine.pyc",
        "mine/.cache/x",
        "environment/pyvenv.cfg",
        "environment/lib/x.py",
        "mine.egg-info/PKG-INFO",
    )
    assert sorted(sources_of(tmp_path)) == sorted(kept)
    with pytest.raises(UserError, match="no such folder"):
        sources_of(tmp_path / "absent")


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "home/key", "checkout/mine.py")
    checkout = tmp_path / "checkout"
    (checkout / "alias.py").symlink_to("mine.py")
    assert sorted(sources_of(checkout)) == ["alias.py", "mine.py"]
    for target in ("../home/key", str(tmp_path / "home/key"), "/etc/passwd", "/dev/zero"):
        (checkout / "data.bin").symlink_to(target)
        with pytest.raises(UserError, match=r"data\.bin is a link to outside of .*checkout"):
            sources_of(checkout)
        (checkout / "data.bin").unlink()
    os.mkfifo(checkout / "pipe")
    with pytest.raises(UserError, match="pipe is no regular file"):
        sources_of(checkout)


def test_likely_secrets_stay_behind_and_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = ["Server.PEM", "credentials.json", "deploy/id_rsa", "deploy/secrets/token", "tls.key"]
    kept = ["deploy/id_map.py", "identity.py", "keys.py"]
    fill(tmp_path, *secret, *kept)
    (tmp_path / "id_ed25519").symlink_to("/etc/passwd")
    assert sorted(sources_of(tmp_path)) == kept
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and all(name in said for name in [*secret, "id_ed25519"])


def test_the_package_is_uploaded_with_its_presets() -> None:
    names = package_sources().keys()
    assert {"spane_rllib/tune.py", "spane_rllib/problems/vm_scheduling/simulator/rules.py"} <= names
    assert any(name.endswith("tune_configs/vm_scheduling/quick.yaml") for name in names)
    assert all(name.split("/")[0] in ("spane_rllib", "tune_configs") for name in names)
    assert not any("__pycache__" in name for name in names)


def test_an_upload_is_copied_up_to_its_limit(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b")
    (tmp_path / "large.bin").write_bytes(bytes(3 << 20))
    upload = {"x/a": tmp_path / "a", "large.bin": tmp_path / "large.bin"}
    target = tmp_path / "target"
    with pytest.raises(UserError, match=r"3\.0 MiB in 2 files, the limit is 2\.0 MiB; .* large\.bin \(3\.0"):
        pack(upload, target, 2 << 20)
    assert not target.exists()
    assert pack(upload, target, 4 << 20) == (3 << 20) + 1
    assert (target / "x/a").read_text() == "a"
    with pytest.raises(UserError, match=r"cannot pack .*absent"):
        pack({"absent": tmp_path / "absent"}, target, 1)

from pathlib import Path

import pytest
from refusals import Refuse, refuse_in

from spane_rllib.traces import loading


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the command: empty, and without data of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(loading.DATA_VARIABLE, raising=False)
    monkeypatch.setattr(loading, "_traces", {})
    return tmp_path


@pytest.fixture
def refuse(place: Path, capfd: pytest.CaptureFixture[str]) -> Refuse:
    """Runs a bad command line in `place` and returns its error line."""
    return refuse_in(place, capfd)

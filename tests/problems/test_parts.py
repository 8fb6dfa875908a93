"""Keys of evaluated parts: they change with all that decides the episodes, the code that plays among it."""

from __future__ import annotations

from pathlib import Path

import pytest

from spane_rllib.problems.parts import part_key

SOURCES = {
    "playing_once": "from playing_rules import FACTOR\n\ndef play(start):\n    return FACTOR * start\n",
    "playing_rules": "FACTOR = 2\n",
    "playing_report": "from playing_once import play\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, source in SOURCES.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("module", "changes"), [(name, name != "playing_report") for name in SOURCES])
def test_a_key_changes_with_the_code_that_plays(folder: Path, module: str, changes: bool) -> None:
    before = part_key("playing_once", seed=1)
    assert len(before) == 16 and before == part_key("playing_once", seed=1)
    file = folder / f"{module}.py"
    file.write_text(f"{SOURCES[module]}# Edited.\n")
    assert (part_key("playing_once", seed=1) != before) == changes
    file.write_text(SOURCES[module])
    assert part_key("playing_once", seed=1) == before


def test_a_key_changes_with_what_else_decides(folder: Path) -> None:
    keys = [
        part_key("playing_once", seed=1, policy="a"),
        part_key("playing_once", seed=2, policy="a"),
        part_key("playing_once", seed=1, policy="b"),
        part_key("playing_once", seed=1),
        part_key("playing_rules", seed=1, policy="a"),
    ]
    assert len(set(keys)) == 5
    assert part_key("playing_once", policy="a", seed=1) == keys[0]

"""Keys of evaluated parts: they change with all that decides the episodes, the code that plays among it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spane_rllib.problems.parts import part_key

SOURCES = {
    "playing_once": "from playing_rules import FACTOR\n\ndef play(start):\n    return FACTOR * start\n",
    "playing_rules": "FACTOR = 2\n",
    "playing_report": "from playing_once import play\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("modules")
    for name, source in SOURCES.items():
        (folder / f"{name}.py").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


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

"""A results folder after any sequence of evaluations, interruptions, damage and other settings."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from spane_rllib.__main__ import main
from spane_rllib.core.errors import UserError
from spane_rllib.experiments.results.parts import PartStore
from spane_rllib.experiments.results.tables import read_table

TABLES = ("episodes.csv", "summary.csv")
NAMES = st.sampled_from(["first-fit", "sbf", "balance-fit"])
POLICIES = st.lists(NAMES, min_size=1, max_size=2, unique=True).map(tuple)
EPISODES, SEEDS = st.integers(1, 3), st.integers(0, 1)


def evaluate(folder: Path, policies: tuple[str, ...], episodes: int, seed: int) -> int:
    arguments = ["--trace", "synthetic:vms=3000", "--servers", "2", "--episodes", str(episodes)]
    arguments += ["--seed", str(seed), "--output", str(folder)]
    return main(["evaluate", *arguments, *(word for name in policies for word in ("--policy", name))])


@cache
def undisturbed(policies: tuple[str, ...], episodes: int, seed: int) -> dict[str, bytes]:
    """The tables in a folder of their own, where nothing happened before."""
    with tempfile.TemporaryDirectory() as name:
        assert evaluate(Path(name), policies, episodes, seed) == 0
        return {table: (Path(name) / table).read_bytes() for table in TABLES}


class ResultsFolderStates(RuleBasedStateMachine):
    """Whatever happened to a folder, an evaluation into it leaves what it would leave in a new one."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.sound: dict[str, tuple[int, bytes]] = {}
        self.damaged: dict[str, bytes] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def parts(self) -> dict[str, tuple[int, bytes]]:
        """Inodes and contents: what is written again has another inode."""
        files = sorted(self.folder.glob("parts/*.csv"))
        return {file.name: (file.stat().st_ino, file.read_bytes()) for file in files if file.name[0] != "."}

    @rule(policies=POLICIES, episodes=EPISODES, seed=SEEDS)
    def evaluate(self, policies: tuple[str, ...], episodes: int, seed: int) -> None:
        assert evaluate(self.folder, policies, episodes, seed) == 0
        for table, content in undisturbed(policies, episodes, seed).items():
            assert (self.folder / table).read_bytes() == content

    @rule(policies=POLICIES, episodes=EPISODES, seed=SEEDS, done=st.integers(0, 1))
    def interrupt(self, policies: tuple[str, ...], episodes: int, seed: int, done: int) -> None:
        """Ctrl-C when `done` parts are written."""
        written, write = [], PartStore.write

        def interrupted(store: PartStore, part: Any, table: Any) -> None:
            if len(written) == done:
                raise KeyboardInterrupt
            written.append(part.key)
            write(store, part, table)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PartStore, "write", interrupted)
            assert evaluate(self.folder, policies, episodes, seed) in (0, 130)

    @precondition(lambda self: self.sound)
    @rule(data=st.data(), characters=st.integers(1, 400))
    def cut(self, data: st.DataObject, characters: int) -> None:
        """A part loses its end."""
        name = data.draw(st.sampled_from(sorted(self.sound)))
        content = self.sound.pop(name)[1]
        (self.folder / "parts" / name).write_bytes(content[:-characters])
        self.damaged[name] = content[:-characters]

    @precondition(lambda self: self.sound)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.sound)))
        del self.sound[name]
        (self.folder / "parts" / name).unlink()

    @rule(table=st.sampled_from(TABLES))
    def lose_table(self, table: str) -> None:
        (self.folder / table).unlink(missing_ok=True)

    @rule()
    def leave_something(self) -> None:
        """What a process leaves that is killed while it writes."""
        (self.folder / "parts").mkdir(exist_ok=True)
        (self.folder / "parts" / ".0.csv.tmp.csv").write_text("policy,")

    @invariant()
    def sound_parts_stay(self) -> None:
        """Nobody plays a finished part again, or writes into it."""
        found = self.parts()
        assert self.sound.items() <= found.items()
        self.damaged = {name: cut for name, cut in self.damaged.items() if found[name][1] == cut}
        self.sound = {name: state for name, state in found.items() if name not in self.damaged}


ResultsFolderStates.TestCase.settings = settings(max_examples=12, stateful_step_count=8, derandomize=True)
test_results_folder_states = ResultsFolderStates.TestCase


def test_a_number_without_its_last_digit_is_no_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("start,wait\n1,25.0\n2,38.75")
    with pytest.raises(UserError, match="its last line has no end"):
        read_table(tmp_path / "a.csv", {"start": int, "wait": float})

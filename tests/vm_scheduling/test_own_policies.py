"""`evaluate --policy module:Class`: policies of the user's own play like those of the package."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from spane_rllib.__main__ import main
from spane_rllib.problems.vm_scheduling.recordings.loading import read_schedule

# What first-fit does, so that every number is known.
SOURCE = """
import numpy as np

class Lowest:
    def __init__(self):
        self.decisions = 0

    def act(self, observation):
        assert set(observation) == {"servers", "request", "action_mask"}
        assert observation["servers"].shape == (2, 2, 2) and observation["action_mask"].shape == (4,)
        mask = observation["action_mask"].copy()
        for array in observation.values():
            array[:] = 0  # what is seen is a copy
        self.decisions += 1
        return mask.argmax()

class Greedy(Lowest):
    def act(self, observation):
        return 0

class Counts(Lowest):
    def act(self, observation):
        return float(super().act(observation))
"""
EVALUATE = ["evaluate", "--trace", "synthetic:vms=3000", "--servers", "2", "--episodes", "3"]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module in the working directory, imported by no other test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    return name


@pytest.mark.parametrize("objective", [[], ["--scenario", "recovering"]], ids=["waits", "allocations"])
def test_an_own_policy_plays_and_is_recorded_like_the_heuristic_that_it_is(
    module: str, tmp_path: Path, objective: list[str]
) -> None:
    own = f"{module}:Lowest"
    words = ["--policy", own, "--policy", "first-fit", "--output", "out", "--record", "record"]
    assert main([*EVALUATE, *objective, *words, "--record-episodes", "2"]) == 0
    episodes = pd.read_csv("out/episodes.csv")
    ours, theirs = (
        episodes[episodes["policy"] == name].drop(columns="policy").reset_index(drop=True)
        for name in (own, "first-fit")
    )
    assert len(ours) == 3
    pd.testing.assert_frame_equal(ours, theirs)

    schedules = [read_schedule(file) for file in sorted((tmp_path / "record").iterdir())]
    slots: dict[str, list[list[int]]] = {own: [], "first-fit": []}
    for schedule in schedules:
        slots[schedule.policy].append(schedule.vms.slot.tolist())
    assert len(slots[own]) == 2 and slots[own] == slots["first-fit"]


def test_an_edited_policy_is_played_again(module: str, tmp_path: Path) -> None:
    words = [*EVALUATE, "--policy", f"{module}:Lowest", "--output", "out"]
    for parts in (1, 1):  # the second time the finished part is taken
        assert main(words) == 0
        assert len(list((tmp_path / "out" / "parts").iterdir())) == parts
    with (tmp_path / f"{module}.py").open("a") as file:
        file.write("# Edited.\n")
    assert main(words) == 0
    assert len(list((tmp_path / "out" / "parts").iterdir())) == 2


@pytest.mark.parametrize(("name", "action"), [("Greedy", "0"), ("Counts", "0.0")])
def test_an_action_that_is_not_allowed_is_named(
    module: str, capsys: pytest.CaptureFixture[str], name: str, action: str
) -> None:
    assert main([*EVALUATE, "--policy", f"{module}:{name}"]) == 2
    errors = capsys.readouterr().err.splitlines()
    lines = [line for line in errors if not line.startswith(("trace: ", "evaluated: "))]
    assert lines == [f"error: policy {module}:{name}: chose {action}, which is not a feasible action"]

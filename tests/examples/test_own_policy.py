"""`own_policy.py` wherever a heuristic can stand: `evaluate`, `compare` and recordings for the viewer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from spane_rllib.__main__ import main
from spane_rllib.problems.vm_scheduling.recordings.loading import read_schedule

OPTIONS = ("--trace", "synthetic:vms=3000", "--servers", "2", "--episodes", "3")


def test_it_plays_what_the_heuristics_play(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policies = ("--policy", "own_policy:Fullest", "--policy", "first-fit")
    recordings = ("--record", str(tmp_path / "recordings"))
    assert main(["evaluate", *OPTIONS, *policies, "--output", str(tmp_path), *recordings]) == 0
    episodes = pd.read_csv(tmp_path / "episodes.csv").groupby("policy")
    own, first_fit = episodes.get_group("own_policy:Fullest"), episodes.get_group("first-fit")
    assert own["start"].tolist() == first_fit["start"].tolist()
    assert own["lower_bound_s"].tolist() == first_fit["lower_bound_s"].tolist()
    assert (own["total_wait_s"] >= own["lower_bound_s"]).all()

    [file] = (tmp_path / "recordings").glob("own_policy-Fullest-*.npz")
    recording = read_schedule(file)
    [row] = own[own["start"] == int(file.stem.rpartition("-")[2])].itertuples()
    assert recording.policy == "own_policy:Fullest" and len(recording.vms.slot) == row.vm_count

    assert main(["compare", "own_policy:Fullest", "first-fit", *OPTIONS]) == 0
    assert "A: own_policy:Fullest, B: first-fit, 2 servers, 3 episodes" in capsys.readouterr().out


def test_a_changed_policy_is_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spane_rllib.problems.acting import load_acting_policy

    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "rule_of_mine.py").write_text(
        "from helper_of_mine import act\n\n\nclass Rule:\n    act = act\n"
    )
    (tmp_path / "helper_of_mine.py").write_text("def act(self, observation):\n    return 0\n")
    before = load_acting_policy("rule_of_mine:Rule").identity
    assert load_acting_policy("rule_of_mine:Rule").identity == before
    (tmp_path / "helper_of_mine.py").write_text("def act(self, observation):\n    return 1 + 0\n")
    assert load_acting_policy("rule_of_mine:Rule").identity != before


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("own_policy:Missing", "own_policy has no Missing"),
        ("no_such_module:Policy", "no module no_such_module; run in the folder that holds it"),
        ("pathlib:Path", "needs to be a class with a method act(observation)"),
        ("fixed_slot:Fixed", "policy fixed_slot:Fixed: chose 99, which is not a feasible"),
        ("raises:Policy", "importing raises failed: ZeroDivisionError"),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(
    policy: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "fixed_slot.py").write_text(
        "class Fixed:\n    def act(self, observation):\n        return 99\n"
    )
    (tmp_path / "raises.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["evaluate", *OPTIONS, "--policy", policy]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error

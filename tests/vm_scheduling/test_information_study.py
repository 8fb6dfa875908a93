"""`python -m spane_rllib.study information`: rows by what is known."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from spane_rllib.__main__ import main

SMALL = [
    "trace.source=synthetic",
    "trace.synthetic_vms=4000",
    "cluster.servers=2",
    "evaluation.episodes=5",
    "noises=[0.5]",
    "planner.scenarios=2",
    "planner.vms=5",
    "queues=[skip]",
]


@pytest.mark.slow  # compiles the planner
def test_the_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [f"--set={key}" for key in (*SMALL, f"output={tmp_path}")]
    assert main(["study", "information", *options]) == 0
    folder = tmp_path / "information"
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert report in capsys.readouterr().out
    assert (folder / "figures" / "information.png").is_file()
    table = pd.read_csv(folder / "information.csv")
    assert (table["queue"] == "skip").all()
    assert table["known"].tolist() == [
        *("nothing", "nothing", "lifetimes, 50% noise", "lifetimes, 50% noise", "lifetimes", "lifetimes"),
        *("arrivals of 10 min", "lifetimes and arrivals of 10 min", "everything", "everything"),
    ]
    waits = table["mean_s"]
    *_, foresight, bound = waits
    assert bound <= foresight <= waits[0]
    assert bound <= waits.min()
    assert table["mean_s_difference"].tolist() == pytest.approx((waits - waits[0]).tolist())
    assert table["ms_per_decision"].iloc[:-1].gt(0).all()
    episodes = pd.read_csv(folder / "episodes.csv")
    assert len(episodes) == 5 * len(table)

    # What is finished is not played again, and the tables come out the same.
    [part] = [file for file in (folder / "parts").glob("*.csv") if "keep-64-exit" in file.read_text()][:1]
    kept = {file: file.stat().st_mtime_ns for file in (folder / "parts").glob("*.csv")}
    part.unlink()
    (folder / "information.csv").unlink()
    assert main(["study", "--resume", str(folder)]) == 0
    played = [file for file in kept if file.stat().st_mtime_ns != kept[file]]
    assert played == [part]
    again = pd.read_csv(folder / "information.csv")
    pd.testing.assert_frame_equal(
        again.drop(columns="ms_per_decision"), table.drop(columns="ms_per_decision")
    )


def test_bad_keys(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for key, message in (
        ("study=future", "study: 'future' is no study of vm_scheduling; allowed: information"),
        ("noises=[0]", "noises"),
        ("queues=[lifo]", "'lifo' is no queue discipline"),
        ("groups={a: b}", "groups"),
    ):
        assert main(["study", "information", "--set", key, "--set", f"output={tmp_path}"]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

"""`plan`, `evaluate` and `compare` as people call them, and how they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from checker import replay

from spane_rllib.__main__ import main
from spane_rllib.problems.vm_rescheduling.mappings.loading import write_mapping
from spane_rllib.problems.vm_rescheduling.mappings.published_format import published_document
from spane_rllib.problems.vm_rescheduling.mappings.synthetic import generate

COLUMNS = [
    "policy",
    "mapping",
    "migration_limit",
    "migrations",
    "fragment_rate_before",
    "fragment_rate_after",
    "lower_bound",
    "seconds",
]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_plan_for_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mapping = generate("affinity", 6200, 20)
    write_mapping(mapping, tmp_path / "map.json")
    out = tmp_path / "plan.json"
    assert run("plan", tmp_path / "map.json", "--migrations", 5, "--seconds", 20, "--output", out) == 0
    shown = capfd.readouterr().out
    plan = json.loads(out.read_text())
    assert f"{plan['fragment_rate_before']:.4f} -> {plan['fragment_rate_after']:.4f}" in shown
    assert "16-core VMs fit" in shown
    hosts, vms = list(mapping.machine_ids), list(mapping.vm_ids)
    moves = [
        {
            "vm": vms.index(move["vm"]),
            "from": [hosts.index(move["from"]["host"]), move["from"]["numa"]],
            "to": [hosts.index(move["to"]["host"]), move["to"]["numa"]],
        }
        for move in plan["moves"]
    ]
    after = replay(published_document(mapping), json.dumps({"moves": moves}))
    assert float(after.fragment_rate()) == pytest.approx(plan["fragment_rate_after"])
    assert len(moves) == plan["migrations"] <= 5


def test_evaluate_writes_plans(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number in (6200, 6201):
        write_mapping(generate("high", number, 20), tmp_path / f"maps/m{number}.json")
    out = tmp_path / "out"
    command = ("evaluate", "--problem", "vm_rescheduling", "--mapping", tmp_path / "maps", "--seconds", 20)
    policies = ("--policy", "search", "--policy", "ha", "--migrations", 3, 6, "--output", out)
    assert run(*command, *policies) == 0
    plans, summary = pd.read_csv(out / "plans.csv"), pd.read_csv(out / "summary.csv")
    assert list(plans) == COLUMNS
    assert len(plans) == 8
    assert len(summary) == 4
    assert (plans["lower_bound"] <= plans["fragment_rate_after"] + 1e-12).all()
    for row in plans.itertuples():
        mapping = generate("high", int(str(row.mapping)[1:]), 20)
        file = out / f"plans/{row.policy}/{row.mapping}-{row.migration_limit}.json"
        after = replay(published_document(mapping), file)
        assert float(after.fragment_rate()) == pytest.approx(row.fragment_rate_after)
        assert len(json.loads(file.read_text())["moves"]) == row.migrations <= row.migration_limit
    capfd.readouterr()
    assert run(*command, *policies) == 0  # finished parts are found again
    assert "evaluated:" not in capfd.readouterr().err


def test_compare_pairs_planners_by_map(capfd: pytest.CaptureFixture[str]) -> None:
    options = ("--problem", "vm_rescheduling", "--machines", 16, "--maps", 4, "--migrations", 4)
    assert run("compare", "search", "ha", *options) == 0
    assert "A: search, B: ha, 4 migrations, 4 episodes" in capfd.readouterr().out


def broken(folder: Path) -> Path:
    document = published_document(generate("high", 1, 4))
    document["cluster_list"][0]["vm_instance"][0]["host_id"] = "gone"
    (folder / "broken.json").write_text(json.dumps(document))
    return folder / "broken.json"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("{broken}",), "VM vm_0: its host gone is not in the file"),
        (("{folder}/no.json",), "No such file"),
        (("medium@published", "--planner", "best"), "neither a planner"),
        (("medium@published", "--objective", "best"), "objective"),
        (("medium@published", "--goal", "2"), "must be a rate from 0 to 1"),
        (("medium@published", "--seconds", "0"), "number of seconds above 0"),
        (("medium@published", "--migrations", "0"), "whole number from 1"),
        (("medium",), "must end in"),
    ],
)
def test_refused_in_one_line(
    options: tuple[str, ...], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    places = {"folder": tmp_path, "broken": broken(tmp_path)}
    out = tmp_path / "plan.json"
    assert run("plan", *(option.format(**places) for option in options), "--output", out) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert message in error
    assert not out.exists()

"""Allocations as configurations, environments and commands mean them: the same VMs, and sizes that can be."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.experiments.results.parts import parts_of
from spane_rllib.experiments.tuning.config import ExperimentConfig
from spane_rllib.experiments.tuning.loading import load_experiment
from spane_rllib.problems.problem import ValidationSettings
from spane_rllib.problems.vm_scheduling.allocations.env import AllocationEnv
from spane_rllib.problems.vm_scheduling.allocations.problem import ALLOCATIONS
from spane_rllib.problems.vm_scheduling.allocations.task import AllocationTask

CONFIG = """
name: few
trace: {source: trace.csv}
splits: {train: [0, 0.4], validation: [0.4, 0.6], test: [0.6, 0.9]}
scenario: own.yaml
methods: {m: {network: mlp}}
"""
SCENARIO = """
server_groups: [{count: 1, node_cpu: 4, node_memory: 8}, {count: 1, node_cpu: 64, node_memory: 256}]
double: {cpu_at_least: 200}
deletions: true
"""
EVENTS = ["vmid,cpu,memory,time,type", *(f"{vm},2,2,{vm},0" for vm in range(20)), "3,2,2,20,1"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """20 VMs, of which one is ever deleted, and a scenario whose second server is larger than the default."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.yaml").write_text(CONFIG)
    (tmp_path / "own.yaml").write_text(SCENARIO)
    write(EVENTS)
    return tmp_path


def write(rows: list[str]) -> None:
    Path("trace.csv").write_text("\n".join(rows) + "\n")


def with_vm(number: int, cpu: float, memory: float) -> list[str]:
    """The events with another size of one VM."""
    return [
        f"{number},{cpu},{memory},{number},0" if row.startswith(f"{number},2,2,{number},") else row
        for row in EVENTS
    ]


def loaded(*overrides: str) -> AllocationTask:
    config: Any = load_experiment("few.yaml", overrides)
    return ALLOCATIONS.load(config)


def commanded() -> AllocationTask:
    """The task of `evaluate --scenario own.yaml --trace trace.csv`."""
    parser = argparse.ArgumentParser()
    ALLOCATIONS.add_arguments(parser)
    words = ["--scenario", "own.yaml", "--trace", "trace.csv", "--episodes", "2"]
    task: Any = ALLOCATIONS.evaluation_of(parser.parse_args(words)).task
    return task


def test_vms_that_never_end_are_there_for_all_alike(place: Path) -> None:
    env = AllocationEnv("own.yaml", trace="trace.csv", splits={"train": (0, 8)} | OTHERS)
    traces = [loaded().trace, commanded().trace, env.instance.workload.trace]
    assert [len(trace) for trace in traces] == [20, 20, 20]
    assert len({trace.sha256 for trace in traces}) == 1


def test_baselines_are_validated_by_the_vms_they_place(place: Path) -> None:
    task = loaded()
    found = task.validate_baselines(["first-fit"], ValidationSettings(episodes=3, every=1))
    starts = task._validation_starts(ValidationSettings(episodes=3, every=1))
    expected = [min(32 + 2, len(task.trace) - 1 - start) for start in starts.tolist()]
    assert found == {"first-fit": pytest.approx(sum(expected) / 3)}


OTHERS = {"validation": (8, 12), "test": (12, 18)}


def test_vms_that_never_end_can_be_left_out(place: Path) -> None:
    write([*EVENTS, "5,2,2,21,1", "7,2,2,22,1", "9,2,2,23,1"])
    assert len(loaded("trace.never_ending=drop").trace) == 4


def test_a_vm_that_only_a_server_of_the_scenario_can_hold_stays(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(with_vm(4, 60, 250))  # on a node of 40 cores, the default, it would have no room
    assert loaded("trace.skip_invalid=true").trace.cpu[4] == 60
    assert "left out" not in capsys.readouterr().out


@pytest.mark.parametrize(("cpu", "memory"), [(65, 2), (2, 257), (5, 257)])
def test_a_vm_that_no_server_of_the_scenario_can_hold_is_left_out_or_refused(
    place: Path, capsys: pytest.CaptureFixture[str], cpu: float, memory: float
) -> None:
    write(with_vm(4, cpu, memory))
    with pytest.raises(UserError, match="more than an empty server"):
        loaded()
    task = loaded("trace.skip_invalid=true")
    assert len(task.trace) == 19 and set(task.trace.cpu) == {2}
    assert "left out 1 VMs that no server can hold" in capsys.readouterr().out


def test_a_vm_that_the_default_servers_would_hold_is_left_out_of_smaller_ones(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    group = "{count: 1, node_cpu: 4, node_memory: 8}"
    Path("own.yaml").write_text(f"server_groups: [{group}]\ndouble: {{memory_above: 10}}\ndeletions: true\n")
    write(with_vm(4, 16, 9))
    assert len(loaded("trace.skip_invalid=true").trace) == 19
    assert "left out 1 VMs that no server can hold" in capsys.readouterr().out


def read(*overrides: str) -> ExperimentConfig:
    few = ("trace={source: 'synthetic:vms=2000'}", "evaluation={heuristics: [], episodes: 2}")
    return load_experiment("few.yaml", [*few, *overrides])


@pytest.mark.parametrize("servers", ["[100]", "[150, 200]", "null"])
def test_a_network_of_fixed_size_plays_a_growing_cluster_whatever_it_begins_with(
    place: Path, servers: str
) -> None:
    config: Any = read("scenario=expanding", f"evaluation.servers={servers}", "splits=null")
    task = ALLOCATIONS.load(config)
    network = task.build_network("mlp", {"width": 4, "depth": 1}, 0)
    task.save_model("model", network, seed=0, metrics={}, training={})
    evaluation = task.evaluation(config.evaluation)
    parts = parts_of(evaluation, [task.load_policy("model")], strict=True)
    assert [part.case for part in parts] == list(config.evaluation.servers or [100])


def test_a_network_of_fixed_size_that_can_play_nothing_of_the_evaluation(place: Path) -> None:
    with pytest.raises(UserError) as caught:
        read("scenario=fading", "evaluation.servers=[7, 9]")
    assert str(caught.value).endswith(
        "evaluation: nothing to evaluate; there are no heuristics, and network mlp can only play clusters of "
        "up to 5 servers as fading is, which evaluation.servers [7, 9] leaves out"
    )
    read("scenario=fading", "evaluation.servers=[7, 5]")
    read("scenario=fading", "evaluation.servers=[7]", "methods.s={network: spane}")
    read("scenario=fading", "evaluation.servers=[7]", "evaluation.heuristics=[fgd]")


def test_sizes_that_a_scenario_cannot_have(place: Path) -> None:
    with pytest.raises(UserError, match="max_servers: 200 is less than the 201 servers"):
        read("scenario=expanding", "evaluation.servers=[201]")
    with pytest.raises(UserError, match="own has 2 server groups"):
        read("evaluation.servers=[3]")

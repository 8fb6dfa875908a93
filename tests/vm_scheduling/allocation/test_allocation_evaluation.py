"""Scenario files, and `python -m spane_rllib.evaluate` on scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from allocation_cases import scenario_of, trace_of_vms

from spane_rllib.__main__ import main
from spane_rllib.core.errors import UserError
from spane_rllib.core.presets import presets_in
from spane_rllib.datasets.vm_traces.synthetic import synthesize
from spane_rllib.problems.vm_scheduling.allocations import task
from spane_rllib.problems.vm_scheduling.allocations.evaluation import (
    SUMMARY_COLUMNS,
    evaluate_policy,
    summarize,
)
from spane_rllib.problems.vm_scheduling.allocations.problem import ALLOCATIONS
from spane_rllib.problems.vm_scheduling.allocations.published import PUBLISHED, published_starts
from spane_rllib.problems.vm_scheduling.allocations.results import AllocationResults
from spane_rllib.problems.vm_scheduling.allocations.scenario import (
    PRESETS,
    AllocationScenario,
    DoubleRule,
    Growth,
    ServerGroup,
    load_scenario,
)
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload, compile_allocations
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.policies import HeuristicPolicy, NetworkPolicy, Policy
from spane_rllib.problems.vm_scheduling.simulator import Lanes
from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends

DOCUMENT = Path(__file__).parents[3] / "docs" / "scenarios.md"
GOOD = """
server_groups: [{count: 2, node_cpu: 40, node_memory: 90}]
double: {memory_above: 10}
deletions: true
"""


def test_the_presets() -> None:
    scenarios = {name: load_scenario(name) for name in presets_in(PRESETS)}
    found = {
        name: (one.initial_servers, one.max_servers, one.deletions, one.double.memory_above)
        for name, one in scenarios.items()
    }
    assert found == {
        "fading": (5, 5, False, 32),
        "recovering": (5, 5, True, 10),
        "recovering-l": (100, 100, True, 10),
        "expanding": (100, 200, False, 32),
    }
    sizes = {(group.node_cpu, group.node_memory) for one in scenarios.values() for group in one.server_groups}
    assert sizes == {(40, 90)}
    growth = scenarios["expanding"].growth
    assert growth is not None and (growth.servers, growth.used_threshold) == (2, 0.7)
    assert all(scenario.name == name for name, scenario in scenarios.items())


def test_every_key_and_column_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for section in (AllocationScenario, ServerGroup, DoubleRule, Growth):
        for key in section.model_fields:
            assert f"`{key}`" in text, key
    for column in (*ALLOCATIONS.episode_columns, *SUMMARY_COLUMNS):
        assert f"`{column}`" in text, column


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("- 1", "must hold keys and values"),
        ("a: [", "line 1: not valid YAML"),
        (GOOD + "deletions: true", "the key 'deletions' occurs twice"),
        (GOOD + "servers: 3", "servers: unknown key"),
        (GOOD.replace("deletions: true", "deletions: yes please"), "deletions: must be true or false"),
        (GOOD.replace("deletions: true", ""), "deletions: missing"),
        (GOOD.replace("count: 2", "count: 0"), "server_groups.0.count: must be"),
        (GOOD.replace("count: 2", "count: 2.5"), "server_groups.0.count: must be a whole number"),
        (GOOD.replace("count: 2", "count: 20000"), "server_groups.0.count: must be"),
        (GOOD.replace("count: 2", "cnt: 2"), "server_groups.0.cnt: unknown key; did you mean count?"),
        (GOOD.replace("node_cpu: 40", "node_cpu: -1"), "server_groups.0.node_cpu: must be"),
        (GOOD.replace("node_cpu: 40", "node_cpu: .inf"), "server_groups.0.node_cpu: must be"),
        (GOOD.replace("[{count: 2, node_cpu: 40, node_memory: 90}]", "[]"), "server_groups: must"),
        (GOOD.replace("{memory_above: 10}", "{}"), "double: give exactly one of memory_above"),
        (GOOD.replace("{memory_above: 10}", "{memory_above: null}"), "double: give exactly one of"),
        (GOOD.replace("{memory_above: 10}", "{memory_above: 1, cpu_above: 1}"), "double: give exactly one"),
        (GOOD + "max_decisions: 0", "max_decisions: must be"),
        (GOOD + "growth: {servers: 1, used_threshold: 0, max_servers: 3}", "growth.used_threshold: must be"),
        (GOOD + "growth: {servers: 1, used_threshold: 1, max_servers: 1}", "growth.max_servers: 1 is less"),
        (GOOD + "growth: {servers: 1}", "growth.used_threshold: missing"),
        (GOOD.replace("node_cpu: 40", "node_cpu: 4"), "more than an empty server"),
    ],
)
def test_bad_files_are_refused_in_one_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    words = ["evaluate", "--scenario", str(file), "--policy", "sbf", "--trace", "synthetic:vms=300"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--scenario fading", "arguments are required: --policy"),
        ("--scenario fadng --policy sbf", "'fadng': no such file, and no such preset; did you mean fading?"),
        ("--scenario fading --policy sbf --node-cpu 40", "--node-cpu: not allowed with argument --scenario"),
        ("--scenario fading --policy sfb", "policy 'sfb': neither a heuristic"),
        ("--scenario expanding --policy sbf --servers 201", "max_servers: 200 is less than the 201 servers"),
        ("--scenario groups.yaml --policy sbf --servers 2", "groups has 2 server groups"),
        ("--published-table --policy sbf", "--policy: not allowed with argument --published-table"),
        ("--published-table --split test", "--split: not allowed with argument --published-table"),
        ("--published-table --scenario fading", "--scenario: not allowed with argument --published-table"),
        ("--published-table", "at least 10,000 events"),
    ],
)
def test_bad_command_lines(
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    group = "{count: 2, node_cpu: 40, node_memory: 90}"
    Path("groups.yaml").write_text(GOOD.replace(group, f"{group}, {group}"))
    assert main(["evaluate", *words.split(), "--trace", "synthetic:vms=300"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


def test_the_command_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "evaluate --scenario recovering --trace synthetic:vms=3000 --servers 2 --servers 3 --episodes 20"
    assert main([*words.split(), "--policy", "sbf", "--policy", "random", "--output", str(tmp_path)]) == 0
    episodes, summary = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("episodes", "summary"))
    assert tuple(episodes) == tuple(ALLOCATIONS.episode_columns) and tuple(summary) == SUMMARY_COLUMNS
    assert len(episodes) == 80 and len(summary) == 4
    pd.testing.assert_frame_equal(summarize(episodes), summary)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 6 and printed[0].startswith("policy")
    assert [line.split()[1] for line in printed[2:]] == ["2", "2", "3", "3"]


def test_an_interrupted_evaluation_goes_on_from_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "evaluate --scenario recovering --trace synthetic:vms=3000 --servers 2 --servers 3 --episodes 20"
    command = [*words.split(), "--policy", "sbf", "--policy", "random", "--output", str(tmp_path)]
    tables = [tmp_path / "episodes.csv", tmp_path / "summary.csv"]
    assert main(command) == 0
    before = [table.read_bytes() for table in tables]
    first, second, *others = sorted((tmp_path / "parts").iterdir())
    assert len(others) == 2
    played: list[str] = []

    def note(policy: Policy, *arguments: Any) -> pd.DataFrame:
        played.append(policy.name)
        return evaluate_policy(policy, *arguments)

    monkeypatch.setattr(task, "evaluate_policy", note)
    for table in tables:
        table.unlink()
    first.unlink()
    second.write_bytes(second.read_bytes()[:-40])
    assert main(command) == 0
    assert len(played) == 2
    assert [table.read_bytes() for table in tables] == before
    assert f"{second} is damaged and evaluated again" in capsys.readouterr().out
    assert main([*command, "--seed", "1"]) == 0  # other episodes: nothing of the finished ones is taken
    assert len(played) == 6


def test_the_summary_by_hand() -> None:
    trace = trace_of_vms((4, 4, 0, 5), (4, 4, 0, 5), (1, 1, 3600, 5), (4, 4, 3600, 5), (4, 4, 7200, 5))
    workload = AllocationWorkload(trace, scenario_of())
    episodes = evaluate_policy(HeuristicPolicy("first-fit"), workload, np.array([0, 2]))
    assert episodes["allocations"].tolist() == [2, 2]
    (row,) = summarize(episodes).itertuples(index=False)
    assert (row.allocations_mean, row.allocations_std, row.allocations_max) == (2, 0, 2)
    assert row.cpu_rate_mean == (1 + 5 / 8) / 2 and row.full_share == 1
    assert row.server_hours_mean == row.hours_mean == 1


@pytest.mark.parametrize("name", ["recovering", "expanding"])
@pytest.mark.parametrize("kind", ["spane", "mlp"])
def test_a_network_plays_scenarios_like_a_plain_loop(name: str, kind: str) -> None:
    scenario = load_scenario(name).with_servers(4)
    if scenario.growth:
        growth = Growth(servers=2, used_threshold=0.5, max_servers=9)
        scenario = scenario.model_copy(update={"growth": growth})
    workload = AllocationWorkload(synthesize(vms=2000), scenario)
    servers = workload.cluster.servers
    policy = NetworkPolicy(kind, build_network(kind, {}, servers, seed=0))
    starts = np.array([0, 100, 700])
    frame = evaluate_policy(policy, workload, starts)
    lanes, network = Lanes(workload, workload.cluster, 3), CompiledQNetwork(policy.network)
    lanes.reset([0, 1, 2], starts, [len(workload)] * 3)
    while lanes.running.any():
        lanes.step(network.greedy_actions(**lanes.observations.named()))
    ends = Ends(lanes.state.counters, lanes.state.clocks)
    expected = vars(AllocationResults.of(ends, workload, scenario))
    assert {key: frame[key].tolist() for key in expected} == {k: v.tolist() for k, v in expected.items()}


def test_the_published_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["evaluate", "--published-table", "--trace", "synthetic:vms=12000", "--episodes", "2"]
    assert main([*words, "--output", str(tmp_path)]) == 0
    table, explanation = capsys.readouterr().out.split("\n\n")
    assert len(table.splitlines()) == 2 + len(PUBLISHED)
    assert "2298.3 ± 19" in table and "worst fit" in explanation and "12,000 VMs" in explanation
    episodes = pd.read_csv(tmp_path / "episodes.csv")
    assert len(episodes) == 2 * 2 * len(PUBLISHED)
    assert set(episodes["scenario"]) == {
        name + end for name in ("fading", "recovering") for end in ("", " without deletions")
    }


def test_published_starts_are_creations_at_or_after_the_drawn_event() -> None:
    trace = synthesize(vms=12_000)
    rows = compile_allocations(trace, load_scenario("recovering")).arrays.end_time
    starts = published_starts(trace, 3000, seed=0)
    events = starts + [(rows <= start).sum() for start in starts]
    assert 1000 <= events.min() < 1020 and 9980 < events.max() < 10_020
    with pytest.raises(UserError, match="at least 10,000 events"):
        published_starts(synthesize(vms=500), 3, seed=0)

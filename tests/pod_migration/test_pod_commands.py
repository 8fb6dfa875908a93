"""Clusters from files, and the commands: what they write, and what they refuse in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from spane_rllib.__main__ import main
from spane_rllib.core.errors import UserError
from spane_rllib.problems.pod_migration.clusters.kubectl import GIB, quantity, read_kubectl
from spane_rllib.problems.pod_migration.clusters.loading import load_cluster
from spane_rllib.problems.pod_migration.columns import ROW_COLUMNS, SUMMARY_COLUMNS
from spane_rllib.problems.pod_migration.problem import POD_MIGRATION
from spane_rllib.problems.pod_migration.settings import PodSettings
from spane_rllib.problems.problem import Task

SMALL = ["--problem", "pod_migration", "--trace", "synthetic:vms=4000", "--horizon", "40"]
YAML = """
nodes:
  - {count: 2, cpu: 10, memory: 20}
  - {name: big, cpu: 40, memory: 80}
pods:
  - {count: 4, cpu: 1, memory: 2}
  - {name: web, cpu: 3, memory: 5, node: big}
"""


def item(kind: str, name: str, **parts: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": "shop"}, **parts}


def node(name: str, cpu: str = "4", memory: str = "16Gi") -> dict[str, Any]:
    return item("Node", name, status={"allocatable": {"cpu": cpu, "memory": memory}})


def pod(
    name: str, on: str | None, cpu: str = "500m", memory: str = "1Gi", phase: str = "Running"
) -> dict[str, Any]:
    containers = [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}, {"name": "side-car"}]
    return item("Pod", name, spec={"nodeName": on, "containers": containers}, status={"phase": phase})


def kubectl(*items: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})


CROWDED = kubectl(
    node("n1"), node("n2", "3920m"), pod("a", "n1", "1500m"), pod("b", "n1", "1500m"), pod("c", "n1", "900m"),
    pod("done", "n1", phase="Succeeded"), pod("pending", None),
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where to work: `cluster.yaml` and `crowded.json`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster.yaml").write_text(YAML)
    (tmp_path / "crowded.json").write_text(CROWDED)
    return tmp_path


def test_the_published_clusters() -> None:
    published, later = load_cluster("published"), load_cluster("published-96")
    assert (published.nodes, published.pods, later.nodes, later.pods) == (10, 50, 96, 100)
    np.testing.assert_array_equal(published.placement, np.arange(50) // 5)
    assert (published.capacity == 100).all()
    assert (published.requests == 5).all()


def test_a_cluster_in_yaml(place: Path) -> None:
    cluster = load_cluster("cluster.yaml")
    assert list(cluster.node_names) == ["node-0", "node-1", "big"]
    assert list(cluster.pod_names) == ["pod-0", "pod-1", "pod-2", "pod-3", "web"]
    np.testing.assert_array_equal(cluster.placement, [0, 0, 1, 2, 2])
    np.testing.assert_array_equal(cluster.requests[-1], [3, 5])


def test_a_cluster_from_kubectl(place: Path) -> None:
    cluster = load_cluster("crowded.json")
    assert list(cluster.pod_names) == ["shop/a", "shop/b", "shop/c"]
    np.testing.assert_allclose(cluster.capacity, [[4, 16], [3.92, 16]])
    np.testing.assert_allclose(cluster.requests[:, 0], [1.5, 1.5, 0.9])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250m", 0.25),
        ("4", 4),
        ("1.5", 1.5),
        ("2Gi", 2 * GIB),
        ("1e3", 1000),
        ("128974848", 128974848),
        ("1k", 1000),
    ],
)
def test_quantities(text: str, value: float) -> None:
    assert quantity(text, "here") == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON"),
        ("{}", "no list of items"),
        (kubectl(), "0 nodes and 0 pods"),
        (kubectl(node("n1"), pod("a", "n9")), "Pod shop/a: node 'n9' is not among the items"),
        (kubectl(node("n1", cpu="many")), "Node n1: 'many' is no quantity"),
        (kubectl(node("n1", cpu="0")), "must be more than 0"),
        (kubectl({"kind": "Node"}), r"items\[0\]: no metadata.name"),
        (kubectl(node("n1"), item("Pod", "a", spec={"nodeName": "n1"}, status={})), "spec.containers"),
        (kubectl(item("Node", "n1")), "no status.allocatable"),
        ('{"items": [3]}', r"items\[0\]: no kind"),
    ],
)
def test_kubectl_json_that_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as refused:
        read_kubectl(text, "file.json", "file")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nodes: []\npods: []", "nodes"),
        ("pods: [{cpu: 1, memory: 1}]", "nodes"),
        ("nodes: [{cpu: 0, memory: 1}]\npods: [{cpu: 1, memory: 1}]", "cpu"),
        ("nodes: [{cpu: 1, memory: 1}]\npods: [{cpu: 1, memory: 1, node: n}]", "'n' is not among the nodes"),
        (  # twice
            "nodes: [{name: n, cpu: 1, memory: 1}, {name: n, cpu: 1, memory: 1}]\n"
            "pods: [{cpu: 1, memory: 1}]",
            "two",
        ),
        ("nodes: [{cpu: 1, memory: 1, gpu: 1}]\npods: [{cpu: 1, memory: 1}]", "gpu"),
        ("- 1", "must hold nodes and pods"),
    ],
)
def test_yaml_that_is_refused(text: str, complaint: str, place: Path) -> None:
    Path("bad.yaml").write_text(text)
    with pytest.raises(UserError, match=complaint) as refused:
        load_cluster("bad.yaml")
    assert "\n" not in str(refused.value)
    assert "bad.yaml" in str(refused.value)


def test_evaluate_writes_the_windows_and_the_summary(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policies = ["--policy", "no-op", "--policy", "random", "--policy", "interleave"]
    assert main(["evaluate", *SMALL, *policies, "--output", "out"]) == 0
    windows, summary = pd.read_csv("out/windows.csv"), pd.read_csv("out/summary.csv")
    assert list(windows.columns) == list(ROW_COLUMNS)
    assert list(summary.columns) == list(SUMMARY_COLUMNS)
    assert ",".join(summary.columns) == (
        "policy,episodes,reward_mean,violation_rate,cpu_over,cpu_under,mem_over,mem_under,unsatisfied,"
        "migrations,moved_cpu,moved_memory"
    )
    total = POD_MIGRATION.load(PodSettings(trace="synthetic:vms=4000", horizon=40)).pods.demand.windows
    assert (windows["window"] >= int(0.6 * total)).all()  # held out
    of_random = windows[windows["policy"] == "random"]
    row = summary.set_index("policy").loc["random"]
    assert row["episodes"] == of_random["episode"].nunique()
    assert row["migrations"] == of_random["migrations"].sum() / row["episodes"] == 160
    assert row["violation_rate"] == pytest.approx(of_random["violations"].sum() / of_random["slots"].sum())
    assert row["reward_mean"] == pytest.approx(of_random["reward"].sum() / row["episodes"])
    assert (windows.groupby("policy")["slots"].sum().nunique(), windows["policy"].nunique()) == (1, 3)
    assert "no-op" in capsys.readouterr().out


def small_task(**settings: Any) -> Task:
    return POD_MIGRATION.load(PodSettings(trace="synthetic:vms=4000", horizon=40, **settings))


@pytest.mark.parametrize("name", ["random", "forecast-mean", "foresight"])
def test_windows_are_the_same_in_whatever_pieces_they_are_played(name: str) -> None:
    task = small_task()
    evaluation = task.evaluation(POD_MIGRATION.evaluation())
    [part] = [evaluation.part(task.load_policy(name), case) for case in evaluation.cases]
    whole = evaluation.play(part, 0, len(evaluation.pairs))
    assert whole["window"].tolist() == evaluation.pairs.tolist()
    pieces = [evaluation.play(part, *edges) for edges in ((0, 25), (25, 60), (60, len(evaluation.pairs)))]
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole)


def test_plans_are_tables_or_evictions(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["plan", "--problem", "pod_migration", "crowded.json"]
    assert main(plan) == 0
    table = capsys.readouterr().out
    assert table.split("\n")[0].split() == ["NAMESPACE", "POD", "FROM", "TO", "CPU", "MEMORY"]
    assert "98% before" in table
    assert main([*plan, "--policy", "largest-pod", "--form", "yaml", "--output", "plan.yaml"]) == 0
    assert Path("plan.yaml").read_text() == capsys.readouterr().out
    evictions = yaml.safe_load(Path("plan.yaml").read_text())["items"]
    assert evictions[0]["kind"] == "Eviction"
    assert evictions[0]["metadata"]["annotations"] == {"spane-rllib/target-node": "n2"}
    assert main([*plan, "--policy", "no-op"]) == 0
    assert "No move is proposed" in capsys.readouterr().out


def test_plans_from_what_pods_use(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("top.txt").write_text(
        "shop a 100m 100Mi\nshop b 100m 100Mi\nshop c 100m 100Mi\nkube-system dns 1m 9Mi\n"
    )
    plan = ["plan", "--problem", "pod_migration", "crowded.json", "--policy", "largest-pod"]
    assert main([*plan, "--usage", "top.txt"]) == 0
    assert "No move is proposed; highest load of a node: 8%" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["evaluate", *SMALL, "--policy", "greedy"], "policy 'greedy': neither a baseline"),
        (["evaluate", *SMALL, "--policy", "no-op", "--cluster", "none"], "cluster 'none': no such file"),
        (["evaluate", *SMALL, "--policy", "no-op", "--overload", "2"], "overload"),
        (["evaluate", *SMALL, "--policy", "no-op", "--overload", "0.1"], "underload 0.2 is not below"),
        (["evaluate", *SMALL, "--policy", "no-op", "--compat", "true"], "compat: needs resource_model"),
        (["evaluate", *SMALL, "--policy", "no-op", "--horizon", "4000"], "fewer than the horizon 4000"),
        (["plan", "--problem", "pod_migration", "crowded.json", "--policy", "foresight"], "needs a trace"),
        (["plan", "--problem", "pod_migration", "crowded.json", "--max-pods-per-node", "2"], "3 pods on n1"),
        (["plan", "--problem", "pod_migration", "nowhere.json"], "no such file"),
        (["plan", "--problem", "pod_migration", "crowded.json", "--usage", "cluster.yaml"], "row 2"),
    ],
)
def test_what_is_refused(
    arguments: list[str], complaint: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert "Traceback" not in error


def test_recordings_are_shown(place: Path) -> None:
    policies = ["--policy", "no-op", "--policy", "interleave", "--episodes", "1"]
    assert main(["evaluate", *SMALL, *policies, "--record", "rec"]) == 0
    files = sorted(str(file) for file in Path("rec").iterdir())
    assert len(files) == 2
    assert main(["view", *files, "--export", "page.html"]) == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "interleave" in page
    assert "{{" not in page
    recording = json.loads(Path(files[0]).read_text())
    recording["placement"][0] = 99
    Path("bad.json").write_text(json.dumps(recording))
    assert main(["view", "bad.json", "--export", "bad.html"]) == 2
    assert not Path("bad.html").exists()

"""What the server answers, without what carries it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spane_rllib.problems.vm_scheduling.deploying import load_deployed
from spane_rllib.problems.vm_scheduling.serving.application import Application, load_application
from spane_rllib.problems.vm_scheduling.serving.counters import metrics_text
from spane_rllib.problems.vm_scheduling.serving.extender import PREFIX, pod_request, quantity

SERVERS = [[[40, 90], [12, 20]], [[3, 9], [40, 90]]]
VM = {"cpu": 4, "memory": 8}


@pytest.fixture
def application(tmp_path: Path) -> Application:
    return Application(load_deployed("first-fit"), tmp_path / "shadow.jsonl")


def post(application: Application, path: str, data: Any) -> Any:
    answer = application.answer("POST", path, json.dumps(data).encode())
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def test_place(application: Application) -> None:
    assert post(application, "/place", {"servers": SERVERS, "vm": VM}) == {"server": 0, "node": 0}
    double = {"servers": SERVERS, "vm": {"cpu": 6, "memory": 12}}
    assert post(application, "/place", double) == {"server": 0, "node": None}
    large = {"servers": SERVERS, "vm": {"cpu": 41, "memory": 8}}
    assert post(application, "/place", large) == {"server": None, "node": None}


def test_servers_that_differ() -> None:
    """Of one, two and four NUMA nodes: a pair of nodes each, what is not there has nothing free."""
    groups = [{"count": 1, "node_cpu": 8 * nodes, "node_memory": 90, "nodes": nodes} for nodes in (1, 2, 4)]
    application = load_application("first-fit", server_groups=groups)
    free = [[[8, 90], [0, 0]], [[16, 90], [16, 90]], [[32, 90], [32, 90]], [[0, 90], [32, 90]]]
    for cpu, placed in ((8, {"server": 0, "node": 0}), (16, {"server": 1, "node": 0}), (33, None)):
        answer = post(application, "/place", {"servers": free, "vm": {"cpu": cpu, "memory": 8}})
        assert answer == (placed or {"server": None, "node": None})
    few = application.answer("POST", "/place", json.dumps({"servers": SERVERS, "vm": VM}).encode())
    assert few.status == 400 and b"servers: must be 4" in few.body


def test_shadow(application: Application, tmp_path: Path) -> None:
    for server, agrees in ((0, True), (1, False)):
        body = {"servers": SERVERS, "vm": VM, "placed": {"server": server, "node": 0}}
        assert post(application, "/place", body) == {"server": 0, "node": 0, "agrees": agrees}
    lines = [json.loads(line) for line in (tmp_path / "shadow.jsonl").read_text().splitlines()]
    assert [line["agrees"] for line in lines] == [True, False]
    assert lines[1]["policy"] == {"server": 0, "node": 0} and lines[1]["placed"]["server"] == 1
    text = metrics_text([application.counters.values, application.counters.values])
    assert 'spane_rllib_shadow_total{agrees="false"} 2' in text
    assert 'spane_rllib_decision_seconds_bucket{le="+Inf"} 4' in text
    assert 'spane_rllib_requests_total{path="/place",status="200"} 4' in text
    assert "# TYPE spane_rllib_decision_seconds histogram" in text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "body: is not JSON"),
        (b"[" * 100_000, "body: is not JSON"),
        (b"\xff\xfe", "body: is not JSON"),
        (b"9" * 10_000, "body: is not JSON"),
        (b"[]", "body: must be a JSON object"),
        ({"servers": SERVERS}, "body: vm: missing"),
        ({"servers": SERVERS, "vm": VM, "sever": 1}, "sever"),
        ({"servers": SERVERS, "vm": {"cpu": "4", "memory": 8}}, "vm.cpu: must be a number"),
        ({"servers": SERVERS, "vm": {"cpu": -4, "memory": 8}}, "vm.cpu"),
        ({"servers": [[[1, 2], [3]]], "vm": VM}, "servers: must be numbers"),
        ({"servers": [[["a", 2], [3, 4]]], "vm": VM}, "servers: must be numbers"),
        ({"servers": [[[10**400, 2], [3, 4]]], "vm": VM}, "servers: must be"),
        ({"servers": None, "vm": VM}, "servers: must be"),
        ({"servers": {}, "vm": VM}, "servers: must be"),
        ({"servers": [[[50, 2], [3, 4]]], "vm": VM}, "node 0 of server 0 has 50 cores"),
        ({"servers": SERVERS, "vm": VM, "placed": {"server": 2}}, "servers are 0 to 1"),
        (b'{"servers": [[[NaN, 2], [3, 4]]], "vm": {"cpu": 4, "memory": 8}}', "has nan cores"),
    ],
)
def test_bad_requests(application: Application, body: Any, text: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = application.answer("POST", "/place", raw)
    error = json.loads(answer.body)["error"]
    assert answer.status == 400 and text in error and "\n" not in error and len(error) < 1100
    post(application, "/place", {"servers": SERVERS, "vm": VM})  # it goes on


def test_paths_and_methods(application: Application) -> None:
    health = application.answer("GET", "/health", b"")
    assert json.loads(health.body) == {"status": "ok", "policy": "first-fit"}
    assert application.answer("GET", "/place", b"").status == 405
    assert application.answer("POST", "/plce", b"").status == 404


def test_a_policy_that_fails(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no\nidea")

    monkeypatch.setattr(application.policy, "act", fail)
    answer = application.answer("POST", "/place", json.dumps({"servers": SERVERS, "vm": VM}).encode())
    assert answer.status == 500 and b"the policy failed: RuntimeError" in answer.body


def node(name: str, *free: tuple[str, str], where: str = "annotations") -> dict[str, Any]:
    """A Kubernetes node that says what is free on its NUMA nodes."""
    says = {}
    for numa, (cpu, memory) in enumerate(free):
        says |= {f"{PREFIX}{numa}-free-cpu": cpu, f"{PREFIX}{numa}-free-memory": memory}
    return {"metadata": {"name": name, where: says}, "spec": {"podCIDR": "10.0.0.0/24"}}


def pod(cpu: str, memory: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}]}}


NODES = [
    node("small", ("1", "1Gi"), ("500m", "90Gi")),
    node("silent"),
    node("roomy", ("40", "90Gi"), ("40", "90Gi")),
    node("labelled", ("12500m", "40960Mi"), ("0", "0"), where="labels"),
    node("broken", ("lots", "1Gi"), ("1", "1Gi")),
]


@pytest.mark.parametrize("case", [str, str.lower])
def test_extender(application: Application, case: Callable[[str], str]) -> None:
    arguments = {
        case("Pod"): pod("4", "8Gi"),
        case("Nodes"): {"kind": "NodeList", "items": NODES},
        case("NodeNames"): None,
    }
    result = post(application, "/filter", arguments)
    assert result["Nodes"]["items"] == [NODES[2], NODES[3]] and result["Error"] == ""
    assert list(result["FailedNodes"]) == ["silent", "broken", "small"]
    assert "4 cores and 8 GiB" in result["FailedNodes"]["small"]
    assert f"no annotation {PREFIX}0-free-cpu" in result["FailedNodes"]["silent"]
    assert "'lots' is no quantity" in result["FailedNodes"]["broken"]
    scores = post(application, "/prioritize", arguments | {case("Nodes"): result["Nodes"]})
    assert scores == [{"Host": "roomy", "Score": 10}, {"Host": "labelled", "Score": 0}]


def test_extender_without_an_opinion(application: Application) -> None:
    """Pods that request nothing fit anywhere; where nothing fits, nothing is preferred."""
    free = {"Pod": {"spec": {"containers": [{}]}}, "Nodes": {"items": NODES[2:4]}}
    assert post(application, "/filter", free)["Nodes"]["items"] == NODES[2:4]
    assert {score["Score"] for score in post(application, "/prioritize", free)} == {0}
    huge = {"Pod": pod("400", "8Gi"), "Nodes": {"items": NODES[2:4]}}
    assert post(application, "/filter", huge)["Nodes"]["items"] == []
    assert {score["Score"] for score in post(application, "/prioritize", huge)} == {0}
    assert post(application, "/prioritize", {"Pod": pod("1", "1Gi"), "Nodes": {"items": []}}) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Pod: missing"),
        ({"Pod": pod("1", "1Gi"), "NodeNames": ["a"]}, "set nodeCacheCapable: false"),
        ({"Pod": pod("1", "1Gi"), "Nodes": {"items": [{}]}}, "without metadata.name"),
        ({"Pod": pod("one", "1Gi"), "Nodes": {"items": []}}, "cpu: 'one' is no quantity"),
        ({"Pod": {"spec": []}, "Nodes": {"items": []}}, "Pod.spec: must be an object"),
        ({"Pod": {"spec": {"containers": {}}}, "Nodes": {"items": []}}, "must be a list"),
    ],
)
def test_bad_extender_arguments(application: Application, arguments: Any, text: str) -> None:
    for path in ("/filter", "/prioritize"):
        answer = application.answer("POST", path, json.dumps(arguments).encode())
        assert answer.status == 400 and text in json.loads(answer.body)["error"]


def test_requests_of_pods() -> None:
    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}, "limits": {"cpu": "9", "memory": "1Ki"}}, **more}

    assert pod_request({"spec": {"containers": [container("1"), container("500m")]}}) == (1.5, 2048)
    spec = {
        "initContainers": [container("1", restartPolicy="Always"), container("5")],
        "containers": [container("2")],
        "overhead": {"cpu": "250m"},
    }
    assert pod_request({"spec": spec})[0] == 6.25  # the init container beside the sidecar
    spec["containers"] = [container("7")]
    assert pod_request({"spec": spec})[0] == 8.25


def test_quantities() -> None:
    texts = ("2", "500m", "1Ki", "1k", "1.5Gi", "12e3", "0.5")
    assert [quantity(text, "") for text in texts] == [2, 0.5, 1024, 1000, 1.5 * 2**30, 12000, 0.5]

"""`spane_rllib.load_policy`: the same decisions as in simulations, from plain cores and GiB."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import spane_rllib
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.splits import splits_of
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.deploying import DeployedPolicy, Placement, Vm, load_deployed
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.networks.weights import (
    ModelMetadata,
    Normalisation,
    TraceIdentity,
    save_model,
)
from spane_rllib.problems.vm_scheduling.policies import load_policy
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Lanes, Workload
from spane_rllib.problems.vm_scheduling.simulator.rules import HEAD

EMPTY = np.tile([40.0, 90.0], (3, 2, 1))
SEED, START, VMS = 7, 20, 300


class LastThatFits:
    """A policy of one's own."""

    def act(self, observation: Mapping[str, npt.NDArray[Any]]) -> int:
        """The highest slot."""
        return int(np.flatnonzero(observation["action_mask"])[-1])


def replay(deployed: DeployedPolicy, workload: Workload, cluster: Cluster) -> tuple[list[int], float]:
    """Slots and total wait of an episode that `deployed` decides, seeing cores and GiB alone."""
    lanes = Lanes(workload, cluster)
    lanes.reset(0, START, VMS)
    trace, slots = workload.trace, []
    while lanes.running[0]:
        row = int(lanes.state.counters[0, HEAD])
        free = (lanes.state.free[0].T / workload.units_per_core).reshape(-1, 2, 2)
        placement = deployed.act(free, Vm(trace.cpu[row], trace.memory[row], trace.arrival[row]))
        assert placement is not None
        slots.append(2 * placement.server + (placement.node or 0))
        lanes.step(np.array(slots[-1:]))
    return slots, float(lanes.results().total_wait[0])


def simulated(policy: Any, workload: Workload, cluster: Cluster) -> tuple[list[int], float]:
    """The same as `evaluate` plays it."""
    lanes = Lanes(workload, cluster)
    lanes.reset(0, START, VMS)
    decide, slots = policy.decider(lanes, START, SEED), []
    while lanes.running[0]:
        slot = decide(lanes)
        row = int(lanes.state.counters[0, HEAD])
        slots.append(slot & ~int(workload.arrays.need[row, 2]))  # of a double VM the node means nothing
        lanes.step(np.array([slot]))
    ends = policy.play(workload, cluster, np.array([START]), np.array([VMS]), SEED)
    total = float(lanes.results().total_wait[0])
    assert ends.clocks[0].tolist() == lanes.state.clocks[0].tolist()  # of the whole episode, as evaluate
    return slots, total


def models(folder: Path) -> list[str]:
    """A network of each kind and a score that minds siblings."""
    metadata = ModelMetadata(
        servers=3,
        normalisation=Normalisation(node_cpu=40, node_memory=90, double_memory_threshold=10),
        trace=TraceIdentity(name="bursts", sha256="0" * 64),
        seed=0,
    )
    score = load_policy("best@pretrained").score  # type: ignore[attr-defined]
    assert score.siblings != 0
    networks = {kind: build_network(kind, {}, 3, seed=2) for kind in ("spane", "mlp")}
    for kind, network in networks.items():
        save_model(folder / kind, network, metadata)
    return [str(folder / kind) for kind in networks]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    own = f"{__name__}:LastThatFits"
    return [*HEURISTICS, "best@pretrained", "spane@pretrained", *models(tmp_path_factory.mktemp("m")), own]


@pytest.mark.parametrize("fine", [1, 8])
def test_whole_episodes_are_those_of_evaluate(trace: VmTrace, names: list[str], fine: int) -> None:
    """Of heuristics, scores, networks and a policy of one's own; for sizes in eighths, too."""
    if fine > 1:
        trace = VmTrace(trace.cpu, trace.memory + 0.125, trace.arrival, trace.lifetime)
    cluster = Cluster(3)
    workload = Workload(trace, cluster)
    waits = {}
    for name in names:
        deployed = load_deployed(name, trace=trace)  # type: ignore[arg-type]
        deployed.reset(SEED << 32 ^ START)
        expected = simulated(load_policy(name, splits_of(trace).train[1]), workload, cluster)
        assert replay(deployed, workload, cluster) == expected, name
        waits[name] = expected[1]
        deployed.reset(SEED << 32 ^ START)  # and it has forgotten the first episode
        assert replay(deployed, workload, cluster) == expected, name
    assert len(set(waits.values())) > 6


def test_what_fits_nowhere_and_halves(trace: VmTrace) -> None:
    policy = load_deployed("first-fit")
    assert policy.act(EMPTY, (40, 8)) == Placement(0, 0)
    assert policy.act(EMPTY, Vm(40, 20)) == Placement(0, None)
    assert policy.act(EMPTY, (41, 8)) is policy.act(EMPTY, (81, 20)) is policy.act(EMPTY, (1e12, 1)) is None
    servers = EMPTY.copy()
    servers[0] = [[39.999, 90], [40, 90]]  # a double VM needs both nodes
    assert policy.act(servers, (80, 20)) == Placement(1, None)
    assert policy.act(servers, (40, 8)) == Placement(0, 1)
    assert policy.act(servers, (39.999, 8)) == Placement(0, 0)
    # Not a whole number of anything: free resources are rounded down.
    servers[0] = [[1 / 3, 90], [1 / 3 + 1e-3, 90]]
    assert policy.act(servers, (1 / 3, 8)) == Placement(0, 1)
    assert policy.act([[[1, 2], [3, 4]]], [3, 4]) == Placement(0, 1)  # type: ignore[arg-type]


def test_larger_nodes_and_another_threshold() -> None:
    policy = load_deployed("spane@pretrained", node_cpu=64, node_memory=256, double_memory_threshold=100)
    assert policy.cluster == Cluster(1, 64, 256, 100)
    placement = policy.act(np.tile([64.0, 256.0], (9, 2, 1)), (64, 99))
    assert placement is not None and placement.node is not None
    assert load_deployed("spane@pretrained").cluster == Cluster(1)


def test_what_was_really_done_counts() -> None:
    policy = load_deployed("move-to-front")
    assert policy.act(EMPTY, (1, 1)) == Placement(0, 0)
    policy.placed(Placement(2, 1))
    assert policy.act(EMPTY, (1, 1)) == Placement(2, 1)
    policy.placed(None)
    with pytest.raises(UserError, match="servers are 0 to 2"):
        policy.placed(Placement(3, 0))
    policy.reset()
    assert policy.act(EMPTY, (1, 1)) == Placement(0, 0)
    assert policy.act(EMPTY[:2], (1, 1)) == Placement(0, 0)  # another cluster


def test_any_number_of_decisions() -> None:
    policy = load_deployed("best@pretrained")
    decisions = [policy.act(EMPTY, Vm(4, 8, arrival=k / 100)) for k in range(2500)]
    assert decisions[300] == decisions[1500] == decisions[-1]


@pytest.mark.parametrize(
    ("servers", "vm", "text"),
    [
        ([[1, 2], [3, 4]], (1, 1), r"servers: must be \(N, 2, 2\), .* got \(2, 2\)"),
        ([], (1, 1), r"must be \(N, 2, 2\)"),
        (
            EMPTY * 2,
            (1, 1),
            "node 0 of server 0 has 80 cores and 180 GiB free, which is not from 0 to the 40",
        ),
        ([[[40, 90], [1, float("nan")]]], (1, 1), "node 1 of server 0 has 1 cores and nan GiB"),
        ([[[40, 90], [-1, 2]]], (1, 1), "node 1 of server 0 has -1 cores"),
        (EMPTY, (0, 1), "vm: 0.0 cores and 1.0 GiB are not allowed"),
        (EMPTY, (1, float("nan")), "vm: 1.0 cores and nan GiB"),
    ],
)
def test_numbers_that_make_no_sense(servers: Any, vm: Any, text: str) -> None:
    with pytest.raises(UserError, match=text):
        load_deployed("first-fit").act(servers, vm)


def test_a_network_for_another_number_of_servers(names: list[str]) -> None:
    with pytest.raises(UserError, match="was made for another number of servers than 2"):
        load_deployed(next(name for name in names if name.endswith("mlp"))).act(EMPTY[:2], (1, 1))


def test_a_model_of_a_scenario_needs_a_threshold(tmp_path: Path) -> None:
    metadata = ModelMetadata(
        servers=3,
        normalisation=Normalisation(node_cpu=40, node_memory=90, double_memory_threshold=None),
        trace=TraceIdentity(name="bursts", sha256="0" * 64),
        seed=0,
    )
    save_model(tmp_path / "model", build_network("spane", {}, 3, seed=2), metadata)
    with pytest.raises(UserError, match="another rule than memory; give double_memory_threshold"):
        load_deployed(tmp_path / "model")
    assert load_deployed(tmp_path / "model", double_memory_threshold=5).act(EMPTY, (2, 6)) is not None


def test_the_package_loads_it_when_asked_for() -> None:
    assert spane_rllib.load_policy is load_deployed and spane_rllib.Vm is Vm
    with pytest.raises(UserError, match="frist-fit"):
        spane_rllib.load_policy("frist-fit")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        spane_rllib.nothing  # noqa: B018
    code = (
        "import sys, spane_rllib; assert 'numba' not in sys.modules; spane_rllib.load_policy('keep-64');"
        "print([name for name in ('torch', 'ray', 'pandas') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"

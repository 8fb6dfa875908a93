"""The compiled simulator against the plain one of `reference_simulator`, on random small problems."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import reference_simulator as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_simulator import Choose, Episode, Situation, Size, Vm
from scenarios import Scenario, choice, scenarios, trace_of

from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    FragmentationGradient,
    Heuristic,
    Lanes,
    Workload,
    lower_bounds,
    probe_vm_counts,
    run_heuristic,
)
from spane_rllib.problems.vm_scheduling.simulator.rules import HEAD, NOW, STUCK

many = settings(max_examples=120)


def play(scenario: Scenario, policy: Choose) -> Episode:
    return reference.simulate(
        scenario.vms,
        scenario.servers,
        scenario.node,
        policy,
        scenario.start,
        scenario.vm_count,
        scenario.sizes,
    )


def plain_gradient(scenario: Scenario, gradient: FragmentationGradient) -> Choose:
    threshold = scenario.cluster.double_memory_threshold
    flavours = [
        Vm(Size(*map(Fraction, pair)), 0.0, 0.0, double=pair[1] > threshold) for pair in gradient.flavours
    ]
    return partial(
        reference.fragmentation_gradient,
        flavours=flavours,
        weights=gradient.weights,
        fullness=gradient.fullness,
    )


def gradients() -> st.SearchStrategy[FragmentationGradient]:
    """Flavours in whole cores and GiB, so that both simulators count them in exact units."""
    pair = st.tuples(st.integers(1, 8).map(float), st.integers(1, 12).map(float))
    entries = st.lists(st.tuples(pair, st.floats(0.0, 10.0)), min_size=1, max_size=4)
    return st.builds(
        lambda entries, fullness: FragmentationGradient(
            tuple(flavour for flavour, _ in entries), tuple(weight for _, weight in entries), fullness
        ),
        entries,
        st.sampled_from([0.0, 1.0, 0.3]),
    )


def assert_same_episode(scenario: Scenario, workload: Workload, heuristic: Heuristic, policy: Choose) -> None:
    expected = play(scenario, policy)
    waits = [decision.wait for decision in expected.decisions]
    results = run_heuristic(workload, scenario.cluster, heuristic, scenario.start, scenario.vm_count)
    assert results.start.tolist() == [scenario.start]
    assert results.placed.tolist() == [len(expected.decisions)]
    assert results.total_wait.tolist() == [expected.total_wait]
    if expected.stuck:
        assert (results.max_wait[0], results.episode_return[0]) == (np.inf, -np.inf)
    else:
        assert results.max_wait[0] == max(waits)
        assert results.episode_return[0] == pytest.approx(-np.log1p(waits).sum(), rel=1e-12)


@pytest.mark.parametrize("name", reference.HEURISTICS)
@given(scenario=scenarios())
@many
def test_episodes_of_a_heuristic(name: str, scenario: Scenario) -> None:
    assert_same_episode(scenario, scenario.workload, Heuristic(name), reference.HEURISTICS[name])


@given(st.data(), scenarios())
@many
def test_episodes_of_the_fragmentation_gradient(data: st.DataObject, scenario: Scenario) -> None:
    gradient = data.draw(gradients())
    policy = plain_gradient(scenario, gradient)
    assert_same_episode(scenario, scenario.workload, Heuristic("fgd", gradient), policy)


@given(st.data(), scenarios())
@settings(max_examples=200)
def test_choices_on_arbitrary_states(data: st.DataObject, scenario: Scenario) -> None:
    """Every heuristic on servers filled at random: ties and full servers are more common than in play."""
    workload = scenario.workload
    row = data.draw(st.integers(0, len(scenario.vms) - 1))
    units = workload.units_per_core
    levels = st.tuples(*(st.sampled_from([0, 1, 2, 3, 4]) for _ in range(2)))
    palette = st.sampled_from(data.draw(st.lists(levels, min_size=1, max_size=4)))
    filled = [data.draw(palette) for _ in range(scenario.cluster.slots)]
    capacity = workload.arrays.capacity[0]
    free_units = np.array([[capacity[d] * level[d] // 4 for level in filled] for d in range(2)], np.int32)
    free = [Size(*(Fraction(int(x), units) for x in node)) for node in free_units.T]
    last_slot = data.draw(st.integers(-1, scenario.cluster.slots - 1))
    situation = Situation(free, scenario.vms[row], scenario.node, last_slot)

    gradient = data.draw(gradients())
    policies = {
        **{Heuristic(name): policy for name, policy in reference.HEURISTICS.items()},
        Heuristic("fgd", gradient): plain_gradient(scenario, gradient),
        Heuristic("keep-64"): plain_gradient(
            scenario, FragmentationGradient(flavours=((64.0, 128.0),), weights=(1.0,), fullness=0.0)
        ),
    }
    for heuristic, policy in policies.items():
        chosen = choice(heuristic, workload, free_units, row, last_slot)
        assert chosen == (policy(situation) if situation.feasible else -1), heuristic


def test_costs_are_remembered_only_for_the_same_kind_and_the_same_free_units() -> None:
    sizes = [(cpu / 4, memory / 4, 0, 1) for cpu in range(1, 14) for memory in range(1, 11)]
    cluster = Cluster(servers=3, node_cpu=4, node_memory=8, double_memory_threshold=2)
    workload = Workload(trace_of(sizes), cluster)
    gradient = FragmentationGradient(((0.5, 1.0), (1.0, 1.5), (2.0, 4.0)), (1.0, 2.3, 4.1), fullness=0.2)
    fgd = Heuristic("fgd", gradient)
    remembering = fgd.compile(workload, cluster.servers)
    random = np.random.default_rng(3)
    free = np.repeat(workload.arrays.capacity[0][:, None], cluster.slots, axis=1)
    for _ in range(1500):
        resource, slot = random.integers(2), random.integers(cluster.slots)
        free[resource, slot] = random.integers(workload.arrays.capacity[0, resource] + 1)
        vm = random.choice([0, 10, 33, 64, 74, 97])  # three pairs that share a row of the memo
        assert choice(fgd, workload, free, vm, parameters=remembering) == choice(fgd, workload, free, vm)


@pytest.mark.parametrize("name", [*reference.HEURISTICS, "fgd"])
def test_a_long_episode_of_vms_of_all_sizes(name: str) -> None:
    """Hundreds of VMs wait at once and no two need the same: a deep heap, and more kinds than memo rows."""
    random = np.random.default_rng(7)
    cluster = Cluster(servers=4, node_cpu=8, node_memory=16, double_memory_threshold=12)
    cpu, memory = random.integers(1, 400, 300), random.integers(1, 1400, 300)
    arrival, lifetime = np.sort(random.integers(0, 100, 300)), random.integers(20, 400, 300)
    vms = [
        Vm(Size(Fraction(int(c), 100), Fraction(int(m), 100)), float(a), float(lasts), bool(m > 1200))
        for c, m, a, lasts in zip(cpu, memory, arrival, lifetime, strict=True)
    ]
    node = Size(Fraction(8), Fraction(16))
    scenario = Scenario(vms, node, cluster, start=0, vm_count=len(vms))
    workload = scenario.workload
    assert workload.kind.max() > 250
    gradient = FragmentationGradient(((1.0, 2.0), (2.0, 2.0), (8.0, 13.0)), (1.0, 0.7, 5.0), 0.1)
    policy = plain_gradient(scenario, gradient) if name == "fgd" else reference.HEURISTICS[name]
    assert_same_episode(scenario, workload, Heuristic(name, gradient), policy)


@given(st.data(), scenarios())
@many
def test_every_decision_in_lanes(data: st.DataObject, scenario: Scenario) -> None:
    expected = play(scenario, lambda now: data.draw(st.sampled_from(now.feasible)))
    workload = scenario.workload
    lanes = Lanes(workload, scenario.cluster)
    lanes.reset(0, scenario.start, scenario.vm_count)
    for decision in expected.decisions:
        assert lanes.state.counters[0, HEAD] == decision.vm
        assert lanes.state.clocks[0, NOW] == decision.time
        free = lanes.state.free[0].T / workload.units_per_core
        assert free.tolist() == [[float(size.cpu), float(size.memory)] for size in decision.free]
        assert np.flatnonzero(lanes.observations.action_mask[0]).tolist() == decision.feasible
        lanes.step(np.array([decision.slot]))
        assert lanes.wait[0] == decision.wait
    assert not lanes.running[0]
    assert (lanes.status[0] == STUCK) == expected.stuck
    assert lanes.results().total_wait[0] == expected.total_wait


@given(scenarios())
@many
def test_probing(scenario: Scenario) -> None:
    workload = scenario.workload
    starts = range(len(scenario.vms) - 1)
    expected = [
        reference.first_unplaceable(scenario.vms, scenario.servers, scenario.node, start) for start in starts
    ]
    # Twice, since the second time the counts are remembered; the extra VMs are added afterwards.
    assert probe_vm_counts(workload, scenario.cluster, starts, extra=0).tolist() == expected
    assert probe_vm_counts(workload, scenario.cluster, starts[::-1]).tolist() == [
        count + 40 for count in expected[::-1]
    ]


@given(scenarios(max_vms=9, max_servers=3))
@many
def test_lower_bound(scenario: Scenario) -> None:
    bound = lower_bounds(scenario.workload, scenario.cluster, scenario.start, scenario.vm_count)
    assert bound.tolist() == [
        reference.lower_bound(
            scenario.vms, scenario.servers, scenario.node, scenario.start, scenario.vm_count
        )
    ]

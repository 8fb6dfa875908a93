"""Planners: legal, within their limits, and where it is known, as good as can be."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from checker import replay

from spane_rllib.problems.vm_rescheduling.mappings.loading import read_mapping
from spane_rllib.problems.vm_rescheduling.mappings.mapping import Mapping, mapping_of
from spane_rllib.problems.vm_rescheduling.mappings.published_format import published_document
from spane_rllib.problems.vm_rescheduling.mappings.synthetic import generate
from spane_rllib.problems.vm_rescheduling.plan_files import indexed_document
from spane_rllib.problems.vm_rescheduling.planners.names import planner
from spane_rllib.problems.vm_rescheduling.planners.planner import Request
from spane_rllib.problems.vm_rescheduling.problem import PLANNERS

SECONDS = 60.0


@pytest.mark.parametrize(
    ("name", "limit", "rate", "migrations"),
    [
        ("medium@published", 10, 0.8508, 10),
        ("medium@published", 50, 0.8049, 14),
        ("large@published", 10, 0.5917, 10),
        ("large@published", 50, 0.5866, 16),
    ],
)
def test_the_heuristic_is_the_published_one(name: str, limit: int, rate: float, migrations: int) -> None:
    request = Request(read_mapping(name), limit, SECONDS)
    answer = planner("ha")(request)
    simulation = request.simulation()
    _, costs = simulation.play(answer.plan[None])
    assert simulation.objective.value(costs[0]) == pytest.approx(rate, abs=5e-5)
    assert len(answer.plan) == migrations


def value(request: Request, name: str) -> tuple[float, float, int]:
    """What a planner reaches, by the plain checker; its bound, and its migrations."""
    answer = planner(name)(request)
    assert len(answer.plan) <= request.migrations
    document = published_document(request.mapping)
    after = replay(document, indexed_document(request.mapping, answer.plan))
    return float(after.fragment_rate()), answer.lower_bound, len(answer.plan)


@pytest.mark.parametrize("name", PLANNERS)
@pytest.mark.parametrize("kind", ["high", "affinity"])
def test_every_plan_is_legal(name: str, kind: str) -> None:
    mapping = generate(kind, 6200, 16)
    before = Request(mapping).simulation().value
    after, bound, _ = value(Request(mapping, 6, 2.0, seed=1), name)
    assert bound <= after + 1e-12
    assert name == "random" or after <= before


def small(random: np.random.Generator) -> Mapping:
    """Two machines of 20 cores a node, so that all end states can be counted."""
    free = np.full((2, 2), 20)
    machine, node, cores, double = [], [], [], []
    for _ in range(7):
        size, both = int(random.choice([2, 4, 8])), random.random() < 0.25
        at, on = int(random.integers(2)), 0 if both else int(random.integers(2))
        taken = [(at, 0), (at, 1)] if both else [(at, on)]
        share = size // len(taken)
        if all(free[place] >= share for place in taken):
            for place in taken:
                free[place] -= share
            machine.append(at), node.append(on), cores.append(size), double.append(both)
    capacity = np.full((2, 2), 20), np.full((2, 2), 10**6)
    return mapping_of("small", capacity, cores, np.array(cores) * 1024, double, machine, node)


def best_end_state(mapping: Mapping, migrations: int, unit: int) -> float:
    """The lowest fragment rate of all placements that so few VMs have left."""
    places = [[(0, 0), (1, 0)] if both else list(product((0, 1), (0, 1))) for both in mapping.double]
    now = list(zip(mapping.machine.tolist(), mapping.node.tolist(), strict=True))
    best = 1.0
    for chosen in product(*places):
        if sum(place != old for place, old in zip(chosen, now, strict=True)) > migrations:
            continue
        machine, node = np.array(chosen).T
        free = mapping.moved(machine, node).free_cores
        if (free >= 0).all():
            best = min(best, float((free % unit).sum() / free.sum()))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_bound_and_search_against_all_end_states(seed: int) -> None:
    mapping = small(np.random.default_rng(seed))
    for migrations in (1, 2, 3):
        best = best_end_state(mapping, migrations, 16)
        found, bound, _ = value(Request(mapping, migrations, 2.0), "search")
        assert bound <= best + 1e-9
        assert best - 1e-9 <= found
        program, dual, _ = value(Request(mapping, migrations, 20.0), "mip")
        assert dual <= best + 1e-9 <= program + 2e-9
        # Where an end state is not reached in order, a bit more is left.
        assert found <= program + 1e-9


def test_search_is_proven_best_on_the_published_map() -> None:
    mapping = read_mapping("medium@published")
    found, bound, migrations = value(Request(mapping, 50, SECONDS), "search")
    assert found == pytest.approx(0.5753, abs=5e-5)
    assert bound == pytest.approx(found)
    assert migrations <= 50


def test_search_is_decided_by_its_request() -> None:
    request = [Request(generate("high", 6201, 40), 8, SECONDS) for _ in range(2)]
    first, second = (planner("search")(each).plan for each in request)
    assert np.array_equal(first, second)


def test_search_with_a_goal_takes_few_migrations() -> None:
    mapping = generate("high", 6200, 40)
    lowest, _, _ = value(Request(mapping, 10, SECONDS), "search")
    start = Request(mapping).simulation().value
    goal = (lowest + start) / 2
    reached, _, migrations = value(Request(mapping, 10, SECONDS, goal=goal), "search")
    assert reached <= goal
    # With one less no plan reaches it.
    assert value(Request(mapping, migrations - 1, SECONDS), "search")[1] > goal


@pytest.mark.parametrize("objective", ["mix:0.5", "memory:0.5", "fr32"])
def test_search_is_never_worse_than_the_heuristic(objective: str) -> None:
    mapping = generate("multi", 6200, 24)
    costs = []
    for name in ("search", "ha"):
        request = Request(mapping, 8, 3.0, objective)
        answer = planner(name)(request)
        simulation = request.simulation()
        simulation.check(answer.plan)
        costs.append(simulation.play(answer.plan[None])[1][0])
        assert answer.lower_bound <= simulation.objective.value(costs[-1]) + 1e-12
    assert costs[0] <= costs[1]

"""The compiled rules against the plain checker, on drawn mappings and plans."""

from __future__ import annotations

import numpy as np
import pytest
from checker import Checker, replay

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_rescheduling.mappings.published_format import published_document
from spane_rllib.problems.vm_rescheduling.mappings.synthetic import generate
from spane_rllib.problems.vm_rescheduling.plan_files import decode, encode, indexed_document
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Simulation, as_plan, legal_prefix

KINDS = ["high", "multi", "affinity", "low"]
Moves = list[tuple[int, int, int]]


def random_moves(
    simulation: Simulation, count: int, random: np.random.Generator
) -> list[tuple[int, int, int]]:
    moves: Moves = []
    while len(moves) < count:
        vm = int(random.integers(simulation.mapping.vms))
        places = np.argwhere(simulation.legal_targets(vm))
        if len(places):
            moves.append((vm, *places[random.integers(len(places))].tolist()))
            simulation.migrate(*moves[-1])
    return moves


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, 1])
def test_replayed_by_the_checker(kind: str, number: int) -> None:
    mapping = generate(kind, number, 12)
    plan = as_plan(random_moves(Simulation(mapping), 25, np.random.default_rng(number)))
    after = replay(published_document(mapping), indexed_document(mapping, plan))
    for objective, rate in (
        ("fr16", after.fragment_rate()),
        ("fr8", after.fragment_rate(8)),
        ("mix:0.7", (7 * after.fragment_rate() + 3 * after.large_rate()) / 10),
        ("memory:0.25", (after.fragment_rate() + 3 * after.memory_rate()) / 4),
    ):
        simulation = Simulation(mapping, objective)
        for move in plan.tolist():
            simulation.migrate(*move)
        assert simulation.value == pytest.approx(float(rate), abs=1e-15)
        assert simulation.cost * rate.denominator == rate.numerator * simulation.objective.scale


@pytest.mark.parametrize("kind", KINDS)
def test_legal_targets_are_those_of_the_checker(kind: str) -> None:
    mapping = generate(kind, 3, 6)
    simulation = Simulation(mapping)
    document = published_document(mapping)
    for vm in range(0, mapping.vms, 3):
        targets = simulation.legal_targets(vm)
        for machine in range(6):
            for node in range(2):
                checker = Checker(document)
                nodes = sorted(checker.vms[vm])
                both = len(nodes) == 2
                try:
                    checker.move(vm, [checker.host[vm], nodes], [machine, [0, 1] if both else [node]])
                    legal = not (both and node == 1)
                except AssertionError:
                    legal = False
                assert targets[machine, node] == legal
    can = simulation.movable()
    assert [simulation.legal_targets(vm).any() for vm in range(mapping.vms)] == can.tolist()


def test_undo_and_fingerprint() -> None:
    simulation = Simulation(generate("affinity", 5, 12))
    before = [array.copy() for array in simulation.state]
    cost = simulation.cost
    moves = random_moves(simulation, 30, np.random.default_rng(0))
    assert simulation.fingerprint != 0
    for _ in moves:
        simulation.undo()
    assert simulation.cost == cost
    assert simulation.fingerprint == 0
    for now, then in zip(simulation.state, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_equal_vms_may_change_places() -> None:
    mapping = generate("high", 2, 20)
    simulation = Simulation(mapping)
    kinds = simulation.state.vms[:, 4]
    for vm in range(mapping.vms):
        for other in range(mapping.vms):
            if (
                kinds[vm] != kinds[other]
                or mapping.machine[vm] == mapping.machine[other]
                or mapping.double[vm]
            ):
                continue
            spare = np.argwhere(simulation.legal_targets(vm))
            places = [
                place for place in spare.tolist() if place[0] not in mapping.machine[[vm, other]].tolist()
            ]
            if places:
                simulation.migrate(vm, *places[0])
                simulation.migrate(other, mapping.machine[vm], mapping.node[vm])
                simulation.migrate(vm, mapping.machine[other], mapping.node[other])
                assert simulation.fingerprint == 0
                return
    raise AssertionError("no two VMs can change places")


def test_plans_side_by_side_are_plans_one_by_one() -> None:
    mapping = generate("affinity", 7, 12)
    random = np.random.default_rng(1)
    plans = np.stack([as_plan(random_moves(Simulation(mapping), 10, random)) for _ in range(32)])
    plans[5, 4] = -1, 0, 0  # nobody
    plans[6, 0, 1] = 99
    made, costs = Simulation(mapping).play(plans)
    assert made[5] == 4
    assert made[6] == 0
    for plan, length, cost in zip(plans, made, costs, strict=True):
        simulation = Simulation(mapping)
        for move in plan[:length].tolist():
            simulation.migrate(*move)
        assert simulation.cost == cost
        assert length == 10 or legal_prefix(mapping, plan) == length


def test_illegal_moves_are_named() -> None:
    mapping = generate("high", 0, 12)
    simulation = Simulation(mapping)
    stay = (0, int(mapping.machine[0]), int(mapping.node[0]))
    with pytest.raises(ValueError, match="may not migrate"):
        simulation.migrate(*stay)
    with pytest.raises(UserError, match="move 0 of the plan is not legal: VM vm_0 to host pm_"):
        simulation.check(as_plan([stay]))


@pytest.mark.parametrize("text", ["fr0", "fr", "mix", "mix:2", "memory:0.12345", "mix:nan", "best"])
def test_objectives_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="objective"):
        Simulation(generate("high", 0, 12), text)


def test_plans_in_cells() -> None:
    plan = as_plan([(3, 1, 0), (4, 0, 1)])
    assert encode(plan) == "3:1:0 4:0:1"
    np.testing.assert_array_equal(decode(encode(plan)), plan)
    assert decode(encode(as_plan([]))).shape == (0, 3)

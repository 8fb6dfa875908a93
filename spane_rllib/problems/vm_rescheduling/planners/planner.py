"""What all planners answer: a mapping, a limit of migrations and seconds in, migrations in order out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from spane_rllib.problems.vm_rescheduling.mappings.mapping import Mapping
from spane_rllib.problems.vm_rescheduling.planners.clock import Clock
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Plan, Simulation, as_plan


@dataclass(frozen=True)
class Request:
    """What is asked of a planner.

    Args:
        mapping: what is to be improved.
        migrations: the most there may be.
        seconds: time for it, from when the request is made; `math.inf` for no limit.
        objective: as `simulator.objectives.make_objective` knows it.
        goal: value of the objective at which to stop, with as few migrations as can be; None: as low as can
        be.
        seed: of planners that draw random numbers.
        now: the time in seconds, from anywhere: a wall clock, or the time of the process on a shared machine.
    """

    mapping: Mapping
    migrations: int = 50
    seconds: float = math.inf
    objective: str = "fr16"
    goal: float | None = None
    seed: int = 0
    now: Callable[[], float] = time.monotonic
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clock", Clock(self.seconds, self.now))

    def simulation(self) -> Simulation:
        """The mapping, to try migrations on."""
        return Simulation(self.mapping, self.objective)

    def reached(self, value: float) -> bool:
        """Whether a value of the objective is as low as was asked for."""
        return self.goal is not None and value <= self.goal + 1e-12


@dataclass(frozen=True)
class Answer:
    """A plan.

    Args:
        plan: (K, 3) migrations in order: VM, machine, node (0 for a double VM).
        lower_bound: no plan of so many migrations reaches a lower value of the objective; 0 where nothing is
            known.
    """

    plan: Plan
    lower_bound: float = 0.0


Planner = Callable[[Request], Answer]


def shortened(request: Request, plan: Plan) -> Plan:
    """The plan up to where it is best or, if there is a goal that it reaches, where it does so first."""
    simulation = request.simulation()
    least, length = simulation.cost, 0
    for k, move in enumerate(plan[: request.migrations].tolist()):
        if request.reached(simulation.value):
            break
        simulation.migrate(*move)
        if simulation.cost < least:
            least, length = simulation.cost, k + 1
    return plan[:length]


def better(request: Request, first: Plan, second: Plan) -> Plan:
    """The plan of lower cost, of equal ones the shorter; the first of these."""

    def rank(plan: Plan) -> tuple[int, int]:
        return int(request.simulation().play(plan[None])[1][0]), len(plan)

    return min(first, second, key=rank)


def nothing() -> Plan:
    """The plan without migrations."""
    return as_plan([])


def random_plan(request: Request) -> Answer:
    """Any migrations: a random VM to a random place where it may go."""
    random, simulation = np.random.default_rng(request.seed), request.simulation()
    moves: list[tuple[int, int, int]] = []
    for _ in range(request.migrations):
        for _ in range(1000):
            vm = int(random.integers(request.mapping.vms))
            places = np.argwhere(simulation.legal_targets(vm))
            if len(places):
                machine, node = places[random.integers(len(places))].tolist()
                simulation.migrate(vm, machine, node)
                moves.append((vm, machine, node))
                break
        if request.clock.over() or request.reached(simulation.value):
            break
    return Answer(as_plan(moves))

"""Our planner: the best end state by column generation, put in order, and repaired where that leaves
something."""

from __future__ import annotations

from spane_rllib.problems.vm_rescheduling.planners.balcon import balcon
from spane_rllib.problems.vm_rescheduling.planners.beam import beam_plan
from spane_rllib.problems.vm_rescheduling.planners.clock import Clock
from spane_rllib.problems.vm_rescheduling.planners.exchange import Exchange
from spane_rllib.problems.vm_rescheduling.planners.heuristics import greedy_plan
from spane_rllib.problems.vm_rescheduling.planners.ordering import order_moves
from spane_rllib.problems.vm_rescheduling.planners.planner import Answer, Request, better, shortened
from spane_rllib.problems.vm_rescheduling.simulator.objectives import Objective
from spane_rllib.problems.vm_rescheduling.simulator.rules import State
from spane_rllib.problems.vm_rescheduling.simulator.simulation import (
    Plan,
    as_plan,
    copied,
    total_cost,
)

_BEAM_WIDTH = 32


def search(request: Request) -> Answer:
    """Never worse than the published heuristic; with a lower bound where the objective is of cores alone.

    1. The published heuristic and BalCon, so that there is a plan at any time.
    2. The best end state (`exchange`), its moves in order (`ordering`). Where anti-affinity, memory or the
    order
       leave migrations unused, the same again from there with what is left.
    3. A beam search, where what was found is not known to be the best.

    With a goal, the least limit of migrations at which step 2 reaches it, by bisection.
    """
    simulation = request.simulation()
    state, objective = simulation.state, simulation.objective
    best = shortened(request, greedy_plan(request.simulation(), request.migrations))
    best = better(request, best, balcon(request).plan)
    plan, bound = exchanged(state, _of_cores(objective), request.migrations, request.clock)
    best = better(request, best, shortened(request, plan))
    if objective.memory_weight:
        bound = 0
    if request.goal is not None:
        best = _fewest(request, best)
    cost = int(simulation.play(best[None])[1][0])
    if request.goal is None and cost > bound and not request.clock.over():
        plan = beam_plan(state, objective, request.migrations, _BEAM_WIDTH, request.clock)
        best = better(request, best, shortened(request, plan))
    return Answer(best, objective.value(bound))


def exchanged(state: State, objective: Objective, migrations: int, clock: Clock) -> tuple[Plan, int]:
    """Moves to the best end state found from a state, and a lower bound on the cost of any."""
    moves: list[tuple[int, int, int]] = []
    at, bound = copied(state), 0
    at.totals[0] = total_cost(at, objective)
    while len(moves) < migrations:
        left = migrations - len(moves)
        exchange = Exchange(at, objective)
        options = exchange.solve(left, clock)
        if not moves:
            bound = exchange.cost_bound
        ordered = order_moves(exchange, options, at, objective, left, clock)
        if len(ordered.moves) == left and ordered.state.totals[0] > exchange.cost_bound:
            # VMs that had to make way took the place of others: so many fewer may be asked for.
            fewer = max(
                1, 2 * left - len(order_moves(exchange, options, at, objective, 2 * left, clock).moves)
            )
            if fewer < left and not clock.over(0.8):
                other = order_moves(exchange, exchange.solve(fewer, clock), at, objective, left, clock)
                ordered = min(ordered, other, key=lambda found: found.state.totals[0])
        if ordered.state.totals[0] >= at.totals[0]:
            break
        moves += ordered.moves
        at = ordered.state
        if at.totals[0] <= bound or clock.over(0.8):
            break
    return as_plan(moves), bound


def _of_cores(objective: Objective) -> Objective:
    """The objective without memory, whose parts column generation does not know."""
    if not objective.memory_weight:
        return objective
    return objective._replace(weight=1, memory_weight=0, scale=objective.free_cores)


def _fewest(request: Request, best: Plan) -> Plan:
    """A plan that reaches the goal with as few migrations as bisection finds; `best` where none does."""
    simulation = request.simulation()
    if not request.reached(simulation.objective.value(int(simulation.play(best[None])[1][0]))):
        return best
    low, high = 0, len(best)
    while high - low > 1 and not request.clock.over():
        middle = (low + high) // 2
        plan, _ = exchanged(simulation.state, _of_cores(simulation.objective), middle, request.clock)
        if request.reached(simulation.objective.value(int(simulation.play(plan[None])[1][0]))):
            best = shortened(request, plan)
            high = min(middle, len(best))
        else:
            low = middle
    return best

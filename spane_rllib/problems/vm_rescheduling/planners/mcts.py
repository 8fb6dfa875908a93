"""Monte Carlo tree search: UCT over the best few migrations, the published heuristic as rollout."""

from __future__ import annotations

import math

import numpy as np

from spane_rllib.problems.vm_rescheduling.planners.beam import best_moves
from spane_rllib.problems.vm_rescheduling.planners.greedy import published_greedy
from spane_rllib.problems.vm_rescheduling.planners.heuristics import LARGEST
from spane_rllib.problems.vm_rescheduling.planners.planner import Answer, Request, shortened
from spane_rllib.problems.vm_rescheduling.simulator.objectives import Objective
from spane_rllib.problems.vm_rescheduling.simulator.rules import State, apply_move
from spane_rllib.problems.vm_rescheduling.simulator.simulation import as_plan, copied

Move = tuple[int, int, int]

_CHILDREN = 8
_VISITS = 64
_EXPLORATION = 0.7


class _Node:
    """A state reached by a sequence of moves; values are costs saved by the best rollout below it."""

    def __init__(self, state: State, objective: Objective) -> None:
        self.state = state
        moves, gains = np.empty((_CHILDREN, 3), np.int64), np.empty(_CHILDREN, np.int64)
        scores, marks = np.empty(_CHILDREN), np.empty(_CHILDREN, np.int64)
        count = best_moves(state, objective, 4, moves, gains, scores, marks)
        self.untried: list[Move] = [tuple(move) for move in moves[:count].tolist()]
        self.children: dict[Move, _Node] = {}
        self.visits, self.total, self.best = 0, 0.0, -math.inf


def tree_search(request: Request) -> Answer:
    """After 64 visits, or its share of the time, the child with the best rollout is migrated to."""
    simulation = request.simulation()
    objective, clock = simulation.objective, request.clock
    root, start = _Node(copied(simulation.state), objective), simulation.cost
    made: list[Move] = []
    best_plan, least = as_plan([]), start
    for step in range(request.migrations):
        for _ in range(_VISITS):
            path, moves = [root], list(made)
            while not path[-1].untried and path[-1].children and len(moves) < request.migrations:
                move, child = _chosen(path[-1], start)
                moves.append(move)
                path.append(child)
            if path[-1].untried and len(moves) < request.migrations:
                move = path[-1].untried.pop(0)
                state = copied(path[-1].state)
                apply_move(state, objective, *move)
                child = _Node(state, objective)
                path[-1].children[move] = child
                moves.append(move)
                path.append(child)
            state = copied(path[-1].state)
            rest = np.zeros((request.migrations - len(moves), 3), np.int64)
            length = published_greedy(state, objective, LARGEST, rest)
            cost = int(state.totals[0])
            if cost < least:
                least, best_plan = cost, as_plan([*moves, *map(tuple, rest[:length].tolist())])
            for node in path:
                node.visits += 1
                node.total += start - cost
                node.best = max(node.best, start - cost)
            if clock.passed > (step + 1) / request.migrations * clock.seconds:
                break
        if clock.over() or not root.children:
            break
        move, root = max(root.children.items(), key=lambda item: item[1].best)
        made.append(move)
    return Answer(shortened(request, best_plan))


def _chosen(node: _Node, scale: int) -> tuple[Move, _Node]:
    """The child of highest upper confidence bound."""

    def bound(child: _Node) -> float:
        exploration = _EXPLORATION * math.sqrt(math.log(node.visits + 1) / (child.visits + 1))
        return child.total / max(child.visits, 1) / max(scale, 1) + 0.1 * exploration

    return max(node.children.items(), key=lambda item: bound(item[1]))

"""The planners by name, each imported when it is used."""

from __future__ import annotations

from importlib import import_module

from spane_rllib.problems.vm_rescheduling.planners.planner import Planner

_FUNCTIONS = {
    "search": "search:search",
    "ha": "heuristics:published_heuristic",
    "vbpp": "heuristics:bin_packing",
    "balcon": "balcon:balcon",
    "beam": "beam:beam_search",
    "mcts": "mcts:tree_search",
    "mip": "mip:integer_program",
    "pop": "mip:partitioned_program",
    "random": "planner:random_plan",
}


def planner(name: str) -> Planner:
    """One of `problem.PLANNERS`."""
    module, _, function = _FUNCTIONS[name].partition(":")
    return getattr(import_module(f"{__package__}.{module}"), function)

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
PLANNERS = {
    "search": "column generation over what may become of each machine, put in order: with a bound",
    "ha": "the published heuristic: the VM whose leaving helps most, to where its coming does",
    "vbpp": "vector bin packing: the worst ten VMs at a time, largest first, to where they fit best",
    "balcon": "BalCon's force step: makes room by moving smaller VMs away (FGCS 147, 2023)",
    "beam": "beam search on the simulator",
    "mcts": "Monte Carlo tree search over the best migrations, with the heuristic as its rollout",
    "mip": "the whole mapping as an integer program over types of VMs, on HiGHS: with a bound",
    "pop": "the integer program on sixteen parts of the machines (POP, SOSP 2021)",
    "random": "any VM to any place where it may go",
}
"""Planners, one line each."""


def planner(name: str) -> Planner:
    """One of `PLANNERS`."""
    module, _, function = _FUNCTIONS[name].partition(":")
    return getattr(import_module(f"{__package__}.{module}"), function)  # type: ignore[no-any-return]

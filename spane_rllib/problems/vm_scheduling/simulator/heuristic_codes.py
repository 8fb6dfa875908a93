"""The numbers of heuristics in compiled code."""

from __future__ import annotations

from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS

NAMES = tuple(HEURISTICS)
(
    FIRST_FIT,
    BEST_FIT,
    WORST_FIT,
    BALANCE_FIT,
    RANDOM,
    MOVE_TO_FRONT,
    SBF,
    FGD,
    KEEP_64_CODE,
    BEST_FIT_VMAGENT,
) = range(len(NAMES))

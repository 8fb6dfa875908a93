"""Names that are written down twice, so that a configuration is checked without numba, agree."""

from typing import get_args

from spane_rllib.experiments.tuning.config import experiment_settings
from spane_rllib.problems.problem import Problem
from spane_rllib.problems.vm_scheduling.allocations import rewards as allocations
from spane_rllib.problems.vm_scheduling.allocations.problem import ALLOCATIONS
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.simulator import Heuristic
from spane_rllib.problems.vm_scheduling.waits import rewards as waits
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS


def offered_rewards(problem: Problem, algorithm: str) -> set[str]:
    return set(get_args(problem.algorithms[algorithm].model_fields["reward"].annotation))


def test_the_rewards_that_a_configuration_offers_exist() -> None:
    for problem, rewards in ((WAITS, waits.REWARDS), (ALLOCATIONS, allocations.REWARDS)):
        for algorithm in problem.algorithms:
            assert offered_rewards(problem, algorithm) == set(rewards)


def test_the_heuristics_that_a_configuration_offers_exist() -> None:
    for problem in (WAITS, ALLOCATIONS):
        settings = experiment_settings(problem).model_fields["evaluation"].annotation
        offered = settings.model_json_schema()["properties"]["heuristics"]["items"]["enum"]
        assert offered == [Heuristic(name).name for name in HEURISTICS]
        assert settings().heuristics == tuple(HEURISTICS)

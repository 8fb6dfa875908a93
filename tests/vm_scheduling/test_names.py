"""Names that are written down twice, so that a configuration is checked without numba, agree."""

from typing import get_args

from spane_rllib.problems.vm_scheduling.allocations import rewards as allocation
from spane_rllib.problems.vm_scheduling.allocations.algorithms import ALGORITHMS as ALLOCATIONS
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.settings import SlotEvaluationSettings
from spane_rllib.problems.vm_scheduling.simulator import Heuristic
from spane_rllib.problems.vm_scheduling.waits.algorithms import ALGORITHMS as WAITS
from spane_rllib.problems.vm_scheduling.waits.rewards import REWARDS


def test_the_rewards_that_a_configuration_offers_exist() -> None:
    for algorithms, rewards in ((WAITS, REWARDS), (ALLOCATIONS, allocation.REWARDS)):
        for section in algorithms.values():
            assert set(get_args(section.model_fields["reward"].annotation)) == set(rewards)


def test_the_heuristics_that_a_configuration_offers_exist() -> None:
    offered = SlotEvaluationSettings.model_json_schema()["properties"]["heuristics"]["items"]["enum"]
    assert offered == [Heuristic(name).name for name in HEURISTICS]
    assert SlotEvaluationSettings().heuristics == tuple(HEURISTICS)

"""Names that are written down twice, so that a configuration is checked without numba, agree."""

from typing import get_args

from spane_rllib.experiments.tuning.config import EvaluationSettings
from spane_rllib.learning.settings import ALLOCATION_REWARDS, TrainingSettings
from spane_rllib.problems.vm_scheduling.allocations import rewards as allocation
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.simulator import Heuristic
from spane_rllib.problems.vm_scheduling.waits.rewards import REWARDS


def test_the_rewards_that_a_configuration_offers_exist() -> None:
    offered = set(get_args(TrainingSettings.model_fields["reward"].annotation))
    assert set(ALLOCATION_REWARDS) == set(allocation.REWARDS)
    assert offered == {*REWARDS, *ALLOCATION_REWARDS}


def test_the_heuristics_that_a_configuration_offers_exist() -> None:
    offered = EvaluationSettings.model_json_schema()["properties"]["heuristics"]["items"]["enum"]
    assert offered == [Heuristic(name).name for name in HEURISTICS]
    assert EvaluationSettings().heuristics == tuple(HEURISTICS)

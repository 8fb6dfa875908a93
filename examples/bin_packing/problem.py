"""What spane_rllib asks of a problem. Light: what is heavy is imported when it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from spane_rllib.core.settings import Settings
from spane_rllib.learning.algorithms import DqnSettings, PpoSettings
from spane_rllib.problems.environment_problem import Baseline, EnvironmentProblem
from spane_rllib.problems.environments import EnvironmentSpec
from spane_rllib.problems.measures import Measure

if TYPE_CHECKING:
    import gymnasium
    from torch import nn


class BinPackingSettings(Settings):
    """What is packed: keys at the top level of a configuration, and keywords of the environment."""

    items: int = Field(default=20, ge=1, le=1000, description="Items of an episode, and bins.")
    smallest: int = Field(default=10, ge=1, le=100, description="Smallest item, percent of a bin.")
    largest: int = Field(default=60, ge=1, le=100, description="Largest item, percent of a bin.")

    @model_validator(mode="after")
    def _check_order(self) -> BinPackingSettings:
        if self.smallest > self.largest:
            raise ValueError(f"smallest {self.smallest} exceeds largest {self.largest}")
        return self


class BinNetworkOptions(Settings):
    """Options of the network `shared`."""

    width: int = Field(default=32, ge=1, le=1024, description="Units of the hidden layers.")


class BinPacking(EnvironmentProblem):
    """Items of random sizes go into as few equal bins as possible."""

    name = "bin_packing"
    title = "Items into equal bins, one after the other: use as few as possible"
    measure = Measure("bins", "", "bins used", "less", "{:.2f}")
    environments: Mapping[str, EnvironmentSpec] = {
        "BinPacking-v0": EnvironmentSpec("bin_packing.environment:BinPackingEnv")
    }
    instance = BinPackingSettings
    algorithms: Mapping[str, type[Settings]] = {"ppo": PpoSettings, "dqn": DqnSettings}
    networks: Mapping[str, type[Settings]] = {"shared": BinNetworkOptions}
    baselines: Mapping[str, str] = {
        "first-fit": "the first bin with room",
        "best-fit": "the fullest bin with room",
        "random": "any bin with room",
    }
    case = "items"
    case_text = "{} items"

    def build_network(self, kind: str, options: Any, spaces: gymnasium.spaces.Dict) -> nn.Module:
        from bin_packing.network import BinNetwork

        return BinNetwork(options.width)

    def baseline(self, name: str) -> Baseline:
        from bin_packing.baselines import BASELINES

        return BASELINES[name]


BIN_PACKING = BinPacking()

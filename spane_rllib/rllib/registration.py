"""Registration with Ray, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.registry import register_env

from spane_rllib.problems.environments import EnvironmentSpec
from spane_rllib.problems.registry import loadable_problems
from spane_rllib.rllib.models import register_model


class _Creator:
    """Makes the environments of one id from RLlib's `env_config`."""

    def __init__(self, spec: EnvironmentSpec) -> None:
        self._spec = spec

    def __call__(self, env_config: Mapping[str, Any]) -> Any:
        return self._spec.make(env_config)


def register_with_ray() -> None:
    """Make the environments of all problems and the model known to Ray; calling it again is harmless.

    Ray stores the creators in the cluster, so its workers know the environments without importing anything.
    """
    for problem in loadable_problems():
        for name, spec in problem.environments.items():
            register_env(name, _Creator(spec))
    register_model()

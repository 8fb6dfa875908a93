"""Registration with Ray, in this process."""

from __future__ import annotations

from typing import Any

from gymnasium import Env
from ray.tune.registry import register_env

from spane_rllib.problems.vm_scheduling.environments import WAITS
from spane_rllib.rllib.models import register_models


def _make_environment(env_config: dict[str, Any]) -> Env[Any, Any]:
    if "scenario" in env_config:
        from spane_rllib.problems.vm_scheduling.allocations.env import create_env as create_allocation_env

        return create_allocation_env(env_config)
    from spane_rllib.problems.vm_scheduling.waits.env import create_env

    return create_env(env_config)


def register_with_ray() -> None:
    """Make environment ids and models known to Ray; calling it again is harmless.

    Ray stores the creator in the cluster, so its workers know the environment without importing anything.
    """
    register_env(next(iter(WAITS)), _make_environment)
    register_models()

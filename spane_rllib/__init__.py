"""Learned cluster scheduling on Ray RLlib.

Importing the package registers the environment ids with Gymnasium, as Gymnasium packages do, and nothing
else; ray, torch, pandas, pydantic and numba load with the parts that use them.
"""

from typing import TYPE_CHECKING, Any

from spane_rllib.core.version import __version__
from spane_rllib.problems.environments import register_environments
from spane_rllib.problems.gpu_jobs.environment_ids import GPU_JOBS
from spane_rllib.problems.pod_migration.environment_ids import POD_MIGRATION
from spane_rllib.problems.vm_rescheduling.environment_ids import VM_RESCHEDULING
from spane_rllib.problems.vm_scheduling.environments import ALLOCATIONS, WAITS

if TYPE_CHECKING:
    from spane_rllib.problems.vm_scheduling.deploying import Placement, Vm
    from spane_rllib.problems.vm_scheduling.deploying import load_deployed as load_policy

__all__ = ["Placement", "Vm", "__version__", "load_policy"]

register_environments(WAITS | ALLOCATIONS | VM_RESCHEDULING | GPU_JOBS | POD_MIGRATION)

_DEPLOYING = {"load_policy": "load_deployed", "Placement": "Placement", "Vm": "Vm"}


def __getattr__(name: str) -> Any:
    """What places VMs outside simulations, loaded when it is asked for."""
    if name not in _DEPLOYING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from spane_rllib.problems.vm_scheduling import deploying

    return getattr(deploying, _DEPLOYING[name])

"""Learned cluster scheduling on Ray RLlib.

Importing the package registers the environment ids with Gymnasium, as Gymnasium packages do, and nothing
else; ray, torch, pandas, pydantic and numba load with the parts that use them.
"""

from spane_rllib.core.version import __version__
from spane_rllib.problems.environments import register_environments
from spane_rllib.problems.vm_scheduling.environments import ALLOCATIONS, WAITS

__all__ = ["__version__"]

register_environments(WAITS | ALLOCATIONS)

"""Learned cluster scheduling on Ray RLlib.

Importing the package registers the environment ids with Gymnasium, as Gymnasium packages do, and nothing
else; ray, torch, pandas and numba load with the parts that use them.
"""

from spane_rllib.registration import register_gymnasium_environments

__version__ = "0.1.0"

register_gymnasium_environments()

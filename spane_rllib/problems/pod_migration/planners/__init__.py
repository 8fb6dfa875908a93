"""Policies that plan the moves before a window: heuristics, the descheduler's rule, integer programs."""

"""Bin packing as a problem of spane_rllib; docs/adding_a_problem.md goes through it step by step."""

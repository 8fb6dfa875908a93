"""Columns of the tables."""

from __future__ import annotations

COUNTED = ("violations", "cpu_over", "cpu_under", "mem_over", "mem_under", "unsatisfied")
MOVED = ("migrations", "moved_cpu", "moved_memory")
WINDOW_COLUMNS: dict[str, type] = {
    "window": int,
    "episode": int,
    "requests": int,
    "reward": float,
    "slots": int,
    **dict.fromkeys(COUNTED, int),
    "migrations": int,
    "moved_cpu": float,
    "moved_memory": float,
}
"""Of a window: its number in the trace and that of the first one of its episode; node-slots, and counts of
them; what was moved before it."""
ROW_COLUMNS: dict[str, type] = {"policy": str, "cluster": str, **WINDOW_COLUMNS}
"""Of `windows.csv`."""
SUMMARY_COLUMNS = ("policy", "episodes", "reward_mean", "violation_rate", *COUNTED[1:], *MOVED)
"""Of `summary.csv`: means over episodes, but for the rate."""

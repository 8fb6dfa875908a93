"""Columns of tables; light to import."""

SUMMARY = (
    *("policy", "workload", "completed", "running", "queued", "avg_jct_s", "p50_jct_s", "p95_jct_s"),
    *("p99_jct_s", "makespan_s", "utilization", "avg_slowdown", "max_slowdown", "bounded_slowdown"),
    *("weighted_jct_s", "jain_fairness", "completion_rate", "lower_bound_jct_s"),
)
"""Columns of `summary.csv`."""
RUN_COLUMNS = dict.fromkeys(SUMMARY[5:], float)
"""Of the whole run: the same in every block of it."""

BLOCK_COLUMNS: dict[str, type] = {
    "policy": str,
    "workload": str,
    "block": int,
    "jobs": int,
    "completed": int,
    "running": int,
    "queued": int,
    "weight": float,
    "jct_s": float,
    "weighted_jct_s": float,
    "block_slowdown": float,
    "details": str,
    **{f"run_{name}": kind for name, kind in RUN_COLUMNS.items()},
}
"""Columns of the table of blocks: means of the jobs of a block that count, and `details.details_of` them."""

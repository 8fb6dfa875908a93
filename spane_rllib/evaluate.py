"""`python -m spane_rllib.evaluate`: wait times of scheduling policies on a trace."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spane_rllib.console import Parser, Progress, run_command, whole_number
from spane_rllib.vm_scheduling.heuristic_names import HEURISTICS

_EPILOG = f"""Heuristics: {", ".join(HEURISTICS)}.

Writes episodes.csv (one row per episode) and summary.csv (one per policy and number of servers) to --output.
A trimmed mean drops the named share of episodes at each end; a catastrophe is an episode whose VMs wait for
more than 300,000 s in total; the lower bound is proven for every policy without migration (LB2)."""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m spane_rllib.evaluate",
        description="Evaluate scheduling policies by the time VMs wait.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--policy",
        action="append",
        required=True,
        metavar="NAME_OR_MODEL_DIR",
        help="a heuristic, or the directory of a trained model; repeatable",
    )
    parser.add_argument(
        "--trace",
        metavar="PATH",
        help="trace file, folder with a known dataset, or `synthetic` "
        "(default: what SPANE_RLLIB_DATA names, else synthetic)",
    )
    parser.add_argument(
        "--servers",
        action="append",
        type=whole_number(1, 10_000),
        metavar="N",
        help="number of servers; repeatable (default: 5)",
    )
    parser.add_argument("--node-cpu", type=float, default=40.0, metavar="CORES", help="of a NUMA node (40)")
    parser.add_argument("--node-memory", type=float, default=90.0, metavar="GIB", help="of a NUMA node (90)")
    parser.add_argument(
        "--double-memory-threshold",
        type=float,
        default=10.0,
        metavar="GIB",
        help="VMs with more memory are split over both nodes of a server (10)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--starts", metavar="FILE", help="rows of the trace at which episodes begin: .npy, .csv or .txt"
    )
    which.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        default="test",
        help="draw the starts from this part of the trace (default: test)",
    )
    parser.add_argument(
        "--episodes",
        type=whole_number(1, 1_000_000),
        default=1000,
        metavar="K",
        help="starts to draw (1000)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0, 2**32 - 1),
        default=0,
        metavar="S",
        help="seed of drawn starts and `random` (0)",
    )
    parser.add_argument("--output", metavar="DIR", help="folder for episodes.csv and summary.csv")
    parser.add_argument(
        "--workers",
        type=whole_number(0, 4096),
        default=0,
        metavar="W",
        help="Ray tasks; 0 runs in this process (default)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    arguments = _parser().parse_args(argv)
    import pandas as pd

    from spane_rllib.errors import UserError
    from spane_rllib.experiments.wait_time import evaluate_pairs
    from spane_rllib.files import check_writable
    from spane_rllib.traces.loading import describe_source, load_trace
    from spane_rllib.traces.splits import read_starts, sample_starts, splits_of
    from spane_rllib.vm_scheduling.evaluation import summarize, summary_table, write_tables
    from spane_rllib.vm_scheduling.policies import load_policy
    from spane_rllib.vm_scheduling.simulator import Cluster, compile_workload

    if arguments.output is not None:
        check_writable(arguments.output)
    servers = list(dict.fromkeys(arguments.servers or [5]))
    clusters = [
        Cluster(n, arguments.node_cpu, arguments.node_memory, arguments.double_memory_threshold)
        for n in servers
    ]
    trace = load_trace(arguments.trace)
    workload = compile_workload(trace, clusters[0])  # complains about VMs that no server can hold
    splits = splits_of(trace)
    policies = [load_policy(text, splits.train[1]) for text in dict.fromkeys(arguments.policy)]
    for policy in policies:
        for n in servers:
            if not policy.accepts(n):
                raise UserError(f"--policy {policy.name}: was made for another number of servers than {n}")
    if arguments.starts is not None:
        starts = read_starts(arguments.starts, len(trace))
    else:
        starts = sample_starts(splits, arguments.split, arguments.episodes, arguments.seed)
    workload.check_starts(starts)
    print(f"trace: {describe_source(trace)}", file=sys.stderr)
    pairs = [(policy, n) for n in servers for policy in policies]
    frames: dict[tuple[str, int], pd.DataFrame] = {}
    progress = Progress("evaluated", len(pairs) * len(starts), "episodes")
    for (policy, n), frame in evaluate_pairs(
        pairs, trace, clusters[0], starts, seed=arguments.seed, workers=arguments.workers
    ):
        frames[policy.name, n] = frame
        progress.update(len(frames) * len(starts))
    episodes = pd.concat([frames[policy.name, n] for policy, n in pairs], ignore_index=True)
    summary = summarize(episodes)
    if arguments.output is not None:
        write_tables(Path(arguments.output), episodes, summary)
    print(summary_table(summary))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))

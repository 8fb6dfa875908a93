"""`python -m spane_rllib.evaluate`: scheduling policies on a trace, by wait time or on a scenario."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from spane_rllib.core.console import Parser, Progress, run_command, whole_number
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS

if TYPE_CHECKING:
    import pandas as pd

    from spane_rllib.problems.vm_scheduling.policies import Policy
    from spane_rllib.problems.vm_scheduling.simulator import Cluster
    from spane_rllib.problems.vm_scheduling.traces.splits import Splits, Starts
    from spane_rllib.problems.vm_scheduling.traces.trace import VmTrace

_EPILOG = f"""Heuristics: {", ".join(HEURISTICS)}.

Writes episodes.csv (one row per episode) and summary.csv (one per policy and number of servers) to --output.
A trimmed mean drops the named share of episodes at each end; a catastrophe is an episode whose VMs wait for
more than 300,000 s in total; the lower bound is proven for every policy without migration (LB2).

With --scenario, VMs are placed until the first that fits nowhere, and the tables tell how many that were and
how full the servers are then; see docs/scenarios.md."""

# What a scenario says itself or does without, and what the table's own protocol does.
_NOT_WITH_SCENARIO = ("node_cpu", "node_memory", "double_memory_threshold", "workers")
_NOT_WITH_TABLE = (*_NOT_WITH_SCENARIO, "scenario", "policy", "servers", "starts", "split", "record")
_REFUSED = {"--scenario": _NOT_WITH_SCENARIO, "--published-table": _NOT_WITH_TABLE}
_CHECKED = (*_NOT_WITH_TABLE, "record_episodes")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m spane_rllib.evaluate",
        description="Evaluate scheduling policies by the time VMs wait, or by how many they place.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--policy",
        action="append",
        metavar="NAME_OR_MODEL_DIR",
        help="a heuristic, or the directory of a trained model; repeatable",
    )
    parser.add_argument(
        "--scenario",
        metavar="NAME_OR_YAML",
        help="fading, recovering, recovering-l, expanding, or a file: count VMs placed, not waits; "
        "--servers then changes the scenario's number of servers",
    )
    parser.add_argument(
        "--published-table",
        action="store_true",
        help="play the protocol of VMAgent's published table and print ours beside it",
    )
    add_episode_arguments(parser)
    parser.add_argument("--output", metavar="DIR", help="folder for episodes.csv and summary.csv")
    add_workers_argument(parser)
    parser.add_argument(
        "--record",
        metavar="DIR",
        help="folder for recordings of the first episodes, to look at with spane_rllib.view",
    )
    parser.add_argument(
        "--record-episodes",
        type=whole_number(1, 10_000),
        default=1,
        metavar="K",
        help="starts to record, each under every policy and number of servers (1)",
    )
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; refuses those that have no meaning together."""
    parser = _parser()
    defaults = {option: parser.get_default(option) for option in _CHECKED}
    parser.set_defaults(**dict.fromkeys(_CHECKED))
    arguments = parser.parse_args(argv)
    given = [option for option in _CHECKED if getattr(arguments, option) is not None]
    mode = "--published-table" if arguments.published_table else "--scenario" if "scenario" in given else ""
    for option in _REFUSED.get(mode, ()):
        if option in given:
            parser.error(f"argument --{option.replace('_', '-')}: not allowed with argument {mode}")
    if arguments.published_table and arguments.episodes == "all":
        parser.error(f"argument --episodes: all is not allowed with argument {mode}")
    if arguments.policy is None and not arguments.published_table:
        parser.error("the following arguments are required: --policy")
    if "record_episodes" in given and arguments.record is None:
        parser.error("argument --record-episodes: only allowed with argument --record")
    for option in defaults.keys() - set(given):
        setattr(arguments, option, defaults[option])
    return arguments


def add_episode_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which episodes are played; `read_episodes` reads them."""
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
        type=_episode_count,
        default=1000,
        metavar="K",
        help="starts to draw, or `all` for every row of the split (1000)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0, 2**32 - 1),
        default=0,
        metavar="S",
        help="seed of drawn starts and `random` (0)",
    )


def _episode_count(text: str) -> int | Literal["all"]:
    return "all" if text == "all" else whole_number(1, 1_000_000)(text)


def add_workers_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--workers`."""
    parser.add_argument(
        "--workers",
        type=whole_number(0, 4096),
        default=0,
        metavar="W",
        help="Ray tasks; 0 runs in this process (default)",
    )


@dataclass(frozen=True)
class Episodes:
    """What policies are evaluated on: a trace, clusters of one or more sizes, rows where episodes begin."""

    trace: VmTrace
    clusters: list[Cluster]
    splits: Splits
    starts: Starts

    def load_policies(self, names: Sequence[str]) -> list[Policy]:
        """The policies called `names`, without repetitions.

        Raises:
            UserError: one is unknown, damaged, or made for another number of servers.
        """
        from spane_rllib.core.errors import UserError
        from spane_rllib.problems.vm_scheduling.policies import load_policy

        policies = [load_policy(name, self.splits.train[1]) for name in dict.fromkeys(names)]
        for policy in policies:
            for cluster in self.clusters:
                if not policy.accepts(cluster.servers):
                    raise UserError(
                        f"policy {policy.name}: was made for another number of servers than {cluster.servers}"
                    )
        return policies

    def evaluate(self, policies: Sequence[Policy], seed: int, workers: int) -> pd.DataFrame:
        """All episodes of `policies`, by number of servers and policy; shows the progress.

        `seed` is for the policies that draw random numbers; `workers` as in `evaluate_pairs`.
        """
        import pandas as pd

        from spane_rllib.experiments.results.wait_time import evaluate_pairs

        pairs = [(policy, cluster.servers) for cluster in self.clusters for policy in policies]
        frames: dict[tuple[str, int], pd.DataFrame] = {}
        progress = Progress("evaluated", len(pairs) * len(self.starts), "episodes")
        for (policy, n), frame in evaluate_pairs(
            pairs, self.trace, self.clusters[0], self.starts, seed=seed, workers=workers
        ):
            frames[policy.name, n] = frame
            progress.update(len(frames) * len(self.starts))
        return pd.concat([frames[policy.name, n] for policy, n in pairs], ignore_index=True)


def read_episodes(arguments: argparse.Namespace) -> Episodes:
    """Load what the options of `add_episode_arguments` name; raises `UserError` for bad input."""
    from spane_rllib.problems.vm_scheduling.simulator import Cluster, compile_workload
    from spane_rllib.problems.vm_scheduling.traces.loading import load_trace
    from spane_rllib.problems.vm_scheduling.traces.splits import read_starts, select_starts, splits_of

    clusters = [
        Cluster(n, arguments.node_cpu, arguments.node_memory, arguments.double_memory_threshold)
        for n in dict.fromkeys(arguments.servers or [5])
    ]
    trace = load_trace(arguments.trace)
    workload = compile_workload(trace, clusters[0])  # complains about VMs that no server can hold
    splits = splits_of(trace)
    if arguments.starts is not None:
        starts = read_starts(arguments.starts, len(trace))
    else:
        starts = select_starts(splits, arguments.split, arguments.episodes, arguments.seed)
    workload.check_starts(starts)
    return Episodes(trace, clusters, splits, starts)


def _record(episodes: Episodes, policies: Sequence[Policy], arguments: argparse.Namespace) -> None:
    from spane_rllib.problems.vm_scheduling.recordings.recorder import record_episodes, show_progress
    from spane_rllib.problems.vm_scheduling.simulator import compile_workload

    starts, folder = episodes.starts[: arguments.record_episodes], Path(arguments.record)
    files = (
        file
        for cluster in episodes.clusters
        for file in record_episodes(
            policies, compile_workload(episodes.trace, cluster), cluster, starts, folder, arguments.seed
        )
    )
    show_progress(files, len(episodes.clusters) * len(policies) * len(starts))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    arguments = _parse(argv)
    if arguments.scenario is not None or arguments.published_table:
        from spane_rllib.problems.vm_scheduling.allocations import command

        evaluate = command.compare_with_published if arguments.published_table else command.evaluate_scenario
        evaluate(arguments)
        return 0
    from spane_rllib.core.files import check_writable
    from spane_rllib.problems.vm_scheduling.traces.loading import describe_source
    from spane_rllib.problems.vm_scheduling.waits.evaluation import summarize, summary_table, write_tables

    for folder in (arguments.output, arguments.record):
        if folder is not None:
            check_writable(folder)
    episodes = read_episodes(arguments)
    policies = episodes.load_policies(arguments.policy)
    print(f"trace: {describe_source(episodes.trace)}", file=sys.stderr)
    table = episodes.evaluate(policies, arguments.seed, arguments.workers)
    summary = summarize(table)
    if arguments.output is not None:
        write_tables(Path(arguments.output), table, summary)
    if arguments.record is not None:
        _record(episodes, policies, arguments)
    print(summary_table(summary))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))

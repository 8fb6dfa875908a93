"""The options of commands that say which episodes of VM scheduling are played."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, Literal

from spane_rllib.core.console import whole_number
from spane_rllib.core.errors import UserError
from spane_rllib.core.reading import user_path
from spane_rllib.problems.problem import Evaluation, Problem
from spane_rllib.problems.vm_scheduling.lifetimes import UNKNOWN, parse_lifetimes
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, parse_queue
from spane_rllib.problems.vm_scheduling.reference_cluster import (
    DOUBLE_MEMORY_THRESHOLD,
    NODE_CPU,
    NODE_MEMORY,
    SERVERS,
)

_DEFAULTS: dict[str, Any] = {
    "node_cpu": NODE_CPU,
    "node_memory": NODE_MEMORY,
    "double_memory_threshold": DOUBLE_MEMORY_THRESHOLD,
    "queue": FIFO.text,
    "lifetimes": UNKNOWN.text,
    "split": "test",
    "episodes": 1000,
    "seed": 0,
}
# What a scenario says itself, and what the published table's own protocol does.
_SIZES = ("node_cpu", "node_memory", "double_memory_threshold")
_NOT_WITH_SCENARIO = (*_SIZES, "queue", "lifetimes")
_NOT_WITH_TABLE = (*_NOT_WITH_SCENARIO, "scenario", "policy", "servers", "starts", "split", "record")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `evaluation_of` reads; what is not given is None."""
    parser.add_argument(
        "--trace",
        metavar="PATH",
        help="trace file, folder with a known dataset, or `synthetic` "
        "(default: what SPANE_RLLIB_DATA names, else synthetic)",
    )
    parser.add_argument(
        "--scenario",
        metavar="NAME_OR_YAML",
        help="fading, recovering, recovering-l, expanding, or a file: count VMs placed, not waits; "
        "--servers then changes the scenario's number of servers",
    )
    parser.add_argument(
        "--servers",
        action="append",
        type=whole_number(1, 10_000),
        metavar="N",
        help="number of servers; repeatable (default: 5, or the scenario's)",
    )
    parser.add_argument(
        "--cluster",
        metavar="YAML",
        help="servers that differ, as the keys under `cluster` of a configuration say them (server_groups)",
    )
    for option, unit, what in (
        ("--node-cpu", "CORES", "of a NUMA node (40)"),
        ("--node-memory", "GIB", "of a NUMA node (90)"),
        ("--double-memory-threshold", "GIB", "VMs with more memory are split over both nodes (10)"),
    ):
        parser.add_argument(option, type=float, metavar=unit, help=what)
    parser.add_argument(
        "--queue",
        type=_queue,
        metavar="DISCIPLINE",
        help="who may be placed when VMs wait: fifo (default), skip, skip:DEPTH, easy, conservative, "
        "aged:SECONDS, smallest, largest, hold",
    )
    parser.add_argument(
        "--lifetimes",
        type=_lifetimes,
        metavar="KNOWLEDGE",
        help="what is known of a VM's lifetime when it arrives: unknown (default), predicted:NOISE (0.5: "
        "a typical error of 50%%), known",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--starts", metavar="FILE", help="rows of the trace at which episodes begin: .npy, .csv or .txt"
    )
    which.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        help="draw the starts from this part of the trace (default: test)",
    )
    parser.add_argument(
        "--episodes",
        type=_episode_count,
        metavar="K",
        help="starts to draw, or `all` for every row of the split (1000)",
    )
    parser.add_argument(
        "--seed", type=whole_number(0, 2**32 - 1), metavar="S", help="seed of drawn starts and `random` (0)"
    )
    parser.add_argument(
        "--published-table",
        action="store_true",
        help="play the protocol of VMAgent's published table and print ours beside it",
    )


def _queue(text: str) -> str:
    try:
        return parse_queue(text).text
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("queue: ")) from error


def _lifetimes(text: str) -> str:
    try:
        return parse_lifetimes(text).text
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("lifetimes: ")) from error


def _episode_count(text: str) -> int | Literal["all"]:
    return "all" if text == "all" else whole_number(1, 1_000_000)(text)


def evaluation_of(problem: Problem, arguments: argparse.Namespace, scenario: str | None = None) -> Evaluation:
    """The evaluation that the options name.

    Args:
        problem: waits, or allocations.
        arguments: parsed.
        scenario: of allocations where none is named; None for waits.

    Raises:
        UserError: options have no meaning together, or what they name cannot be read.
    """
    given = {name for name, value in vars(arguments).items() if value is not None}
    mode = "--published-table" if arguments.published_table else "--scenario"
    if arguments.published_table or "scenario" in given:
        for option in _NOT_WITH_TABLE if arguments.published_table else _NOT_WITH_SCENARIO:
            if option in given:
                raise UserError(f"argument --{option.replace('_', '-')}: not allowed with argument {mode}")
    if "cluster" in given:
        not_with = ("servers", "scenario", *_SIZES, "published_table" if arguments.published_table else "")
        for option in not_with:
            if option in given:
                raise UserError(f"argument --{option.replace('_', '-')}: not allowed with argument --cluster")
    if arguments.published_table and arguments.episodes == "all":
        raise UserError(f"argument --episodes: all is not allowed with argument {mode}")
    for option, default in _DEFAULTS.items():
        if option not in given:
            setattr(arguments, option, default)
    if scenario is None:
        return _of_waits(problem, arguments)
    return (_published if arguments.published_table else _of_scenario)(problem, arguments, scenario)


def _of_waits(problem: Problem, arguments: argparse.Namespace) -> Evaluation:
    from spane_rllib.problems.vm_scheduling.data import read_cluster
    from spane_rllib.problems.vm_scheduling.task import starts_of
    from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance
    from spane_rllib.problems.vm_scheduling.waits.task import WaitEvaluation, WaitTask

    sizes = tuple(dict.fromkeys(arguments.servers or [SERVERS]))
    if arguments.cluster is None:
        servers = {"servers": sizes[0], **{name: getattr(arguments, name) for name in _SIZES}}
    else:
        settings = read_cluster(arguments.cluster)
        sizes, servers = (settings.count,), settings.model_dump()
    task = WaitTask(
        problem,
        WaitInstance(trace=arguments.trace, queue=arguments.queue, lifetimes=arguments.lifetimes, **servers),
    )
    starts = starts_of(task, arguments, arguments.starts)
    return WaitEvaluation(task, sizes, starts, arguments.seed, _source(arguments))


def _of_scenario(problem: Problem, arguments: argparse.Namespace, scenario: str) -> Evaluation:
    from spane_rllib.problems.vm_scheduling.allocations.instance import AllocationInstance
    from spane_rllib.problems.vm_scheduling.allocations.task import AllocationEvaluation, AllocationTask
    from spane_rllib.problems.vm_scheduling.task import starts_of

    task = AllocationTask(
        problem, AllocationInstance(scenario=arguments.scenario or scenario, trace=arguments.trace)
    )
    sizes = tuple(dict.fromkeys(arguments.servers or ()))
    starts = starts_of(task, arguments, arguments.starts)
    return AllocationEvaluation(task, sizes, starts, arguments.seed, _source(arguments))


def _source(arguments: argparse.Namespace) -> str:
    return arguments.starts or f"the {arguments.split} split"


def _published(problem: Problem, arguments: argparse.Namespace, _: str) -> Evaluation:
    from spane_rllib.problems.vm_scheduling.allocations.instance import AllocationInstance
    from spane_rllib.problems.vm_scheduling.allocations.published import PublishedEvaluation
    from spane_rllib.problems.vm_scheduling.allocations.task import AllocationTask

    task = AllocationTask(problem, AllocationInstance(trace=arguments.trace))
    return PublishedEvaluation(task, arguments.episodes, arguments.seed)


def job_arguments(arguments: argparse.Namespace) -> list[str]:
    """`Problem.job_arguments` of both objectives."""
    from spane_rllib.datasets.vm_traces.loading import resolve_source

    source = resolve_source(arguments.trace)
    if isinstance(source, dict):
        trace = "synthetic:" + ",".join(f"{name}={value}" for name, value in source.items())
    else:
        trace = str(source)
    options: dict[str, Any] = {"--trace": trace, "--seed": arguments.seed}
    if arguments.cluster is not None:
        options["--cluster"] = _elsewhere(arguments.cluster)
    if arguments.scenario is None:
        for name in _NOT_WITH_SCENARIO:
            if arguments.cluster is not None and name in _SIZES:
                continue
            options[f"--{name.replace('_', '-')}"] = getattr(arguments, name)
    else:
        options["--scenario"] = _elsewhere(arguments.scenario)
    if arguments.starts is not None:
        options["--starts"] = Path(arguments.starts).absolute()
    else:
        options |= {"--split": arguments.split, "--episodes": arguments.episodes}
    sizes = [("--servers", n) for n in dict.fromkeys(arguments.servers or ())]
    return [str(word) for pair in [*options.items(), *sizes] for word in pair]


def placed(settings: Any, trace: str | None) -> Any:
    """`Problem.placed` of both objectives."""
    from spane_rllib.datasets.vm_traces.loading import DATA_VARIABLE

    source = trace or settings.trace.source
    if source == "auto":
        # By name, not by variable: a node without the file is to say so, not fall back to a synthetic trace.
        source = os.environ.get(DATA_VARIABLE) or "synthetic"
    if source.partition(":")[0] != "synthetic":
        source = str(user_path(source))
    update = {"trace": settings.trace.model_copy(update={"source": source})}
    if hasattr(settings, "scenario"):
        update["scenario"] = _elsewhere(settings.scenario)
    return settings.model_copy(update=update)


def _elsewhere(scenario: str) -> str:
    """A scenario, by name or by path, for a process in another folder."""
    file = Path(scenario)
    return str(file.absolute()) if file.is_file() else scenario

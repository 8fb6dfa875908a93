"""`python -m spane_rllib.plan MAPPING.json`: a plan that somebody carries out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from spane_rllib.core.console import whole_number
from spane_rllib.problems.planning import Planning

if TYPE_CHECKING:
    from spane_rllib.problems.vm_rescheduling.problem import RescheduleProblem

_SIZES = (16, 32, 64)


class ReschedulePlanning(Planning):
    """Migrations that lower the fragment rate of one mapping.

    Args:
        problem: whose planners and models make the plan.
    """

    def __init__(self, problem: RescheduleProblem) -> None:
        self._problem = problem

    description = "Propose live migrations that make room for large VMs in a mapping of VMs to hosts."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "mapping",
            metavar="MAPPING",
            help="mapping of VMs to hosts: .json or .json.gz in the published form, .machines.csv or "
            ".machines.parquet beside the table of VMs, medium@published or large@published",
        )
        parser.add_argument(
            "--migrations", type=whole_number(1, 100_000), default=50, metavar="M", help="at most (50)"
        )
        parser.add_argument("--seconds", type=positive, default=5.0, metavar="S", help="to plan in (5)")
        parser.add_argument(
            "--planner", default="search", metavar="NAME", help="a planner, or a trained model (search)"
        )
        parser.add_argument(
            "--objective",
            default="fr16",
            metavar="NAME",
            help="fr16: fragment rate of 16 cores, or another number; mix:SHARE of it and of slots of 64 "
            "cores; memory:SHARE of it and of fragments of 32 GiB (fr16)",
        )
        parser.add_argument(
            "--goal", type=_rate, metavar="RATE", help="as few migrations as reach this, if they can"
        )
        parser.add_argument("--seed", type=whole_number(0, 2**32 - 1), default=0, metavar="S", help="(0)")
        parser.add_argument("--output", metavar="PLAN.json", help="file for the plan")

    def plan(self, arguments: argparse.Namespace) -> str:
        import json
        import time

        from spane_rllib.core.files import write_text
        from spane_rllib.core.settings import validated
        from spane_rllib.problems.vm_rescheduling.mappings.loading import read_mapping
        from spane_rllib.problems.vm_rescheduling.plan_files import named_moves
        from spane_rllib.problems.vm_rescheduling.planners.planner import Request
        from spane_rllib.problems.vm_rescheduling.policies import warm_up
        from spane_rllib.problems.vm_rescheduling.settings import RescheduleSettings

        mapping = read_mapping(arguments.mapping)
        settings = validated(RescheduleSettings, {"objective": arguments.objective})
        policy = self._problem.load(settings).load_policy(arguments.planner)
        if arguments.planner in self._problem.baselines:
            warm_up(arguments.planner, arguments.objective)
        begun = time.monotonic()
        request = Request(
            mapping,
            arguments.migrations,
            arguments.seconds,
            arguments.objective,
            arguments.goal,
            arguments.seed,
        )
        answer = policy.plan(request)
        seconds = time.monotonic() - begun
        simulation = request.simulation()
        simulation.check(answer.plan)
        before, free = simulation.value, simulation.state.free.copy()
        for move in answer.plan.tolist():
            simulation.migrate(*move)
        moves = named_moves(mapping, answer.plan)
        facts: dict[str, Any] = {
            "mapping": str(arguments.mapping),
            "planner": arguments.planner,
            "objective": arguments.objective,
            "fragment_rate_before": before,
            "fragment_rate_after": simulation.value,
            "lower_bound": answer.lower_bound,
            "migrations": len(moves),
            "memory_moved_gib": sum(move["memory_mb"] for move in moves) / 1024,
            "large_vms_before": {str(size): _fitting(free, size) for size in _SIZES},
            "large_vms_after": {str(size): _fitting(simulation.state.free, size) for size in _SIZES},
            "seconds": round(seconds, 3),
        }
        if arguments.output is not None:
            write_text(arguments.output, json.dumps({**facts, "moves": moves}, indent=1) + "\n")
        return _told(facts, mapping.machines, mapping.vms, arguments)


def _told(facts: dict[str, Any], machines: int, vms: int, arguments: argparse.Namespace) -> str:
    what = "fragment rate" if arguments.objective.startswith("fr") else f"objective {arguments.objective}"
    lines = [
        f"{facts['mapping']}: {machines:,} hosts, {vms:,} VMs",
        f"{what:<19}{facts['fragment_rate_before']:.4f} -> {facts['fragment_rate_after']:.4f}"
        + (
            f" (no plan of {arguments.migrations} reaches less than {bound:.4f})"
            if (bound := facts["lower_bound"])
            else ""
        ),
        *(
            f"{f'{size}-core VMs fit':<19}{facts['large_vms_before'][str(size)]:,} -> "
            f"{facts['large_vms_after'][str(size)]:,}"
            for size in _SIZES
        ),
        f"{'migrations':<19}{facts['migrations']} of at most {arguments.migrations}",
        f"{'memory moved':<19}{facts['memory_moved_gib']:,.0f} GiB",
        f"{'seconds':<19}{facts['seconds']:.2f}",
    ]
    if arguments.goal is not None and facts["fragment_rate_after"] > arguments.goal + 1e-12:
        lines.append(f"The goal {arguments.goal:g} is not reached with {arguments.migrations} migrations.")
    if arguments.output is not None:
        lines.append(f"{'plan':<19}{arguments.output}")
    return "\n".join(lines)


def _fitting(free: Any, cores: int) -> int:
    """How many VMs of so many cores fit by their cores, one beside the other; above 44 cores half on each
    node."""
    if cores <= 44:
        return int((free // cores).sum())
    return int((free.min(axis=1) // (cores // 2)).sum())


def positive(text: str) -> float:
    """The `type` of an argument in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, got {text!r}")
    return value


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a rate from 0 to 1, got {text!r}")
    return value

"""`python -m spane_rllib.serve`: a policy that answers over HTTP where VMs go."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from spane_rllib.core.console import Parser, run_command, whole_number

_SIZES = ("node_cpu", "node_memory", "double_memory_threshold")
_EPILOG = """POST /place     {"servers": [[[cores, GiB], [cores, GiB]], ...], "vm": {"cpu": 4, "memory": 8}}
POST /filter, POST /prioritize     the calls of a Kubernetes scheduler extender
GET /health, GET /metrics (Prometheus)

docs/deploy.md goes from a trace to a served policy. Needs the extra: pip install "spane_rllib[serve]".
There is no password: leave --host at this machine, or put a proxy in front that asks for one."""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m spane_rllib.serve",
        description="Serve a policy over HTTP, on Ray Serve.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "policy",
        metavar="NAME_OR_DIR",
        help="a heuristic, a shipped model (best@pretrained), the directory of a model, or module:Class",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1, this machine)")
    parser.add_argument("--port", type=whole_number(0, 65535), default=8000, help="0 for any free one (8000)")
    parser.add_argument(
        "--replicas",
        type=whole_number(1, 1000),
        default=1,
        metavar="N",
        help="processes that answer, a core each; each remembers its own decisions alone (1)",
    )
    parser.add_argument(
        "--max-body",
        type=whole_number(1, 1024),
        default=32,
        metavar="MIB",
        help="largest request that is read, MiB (32)",
    )
    parser.add_argument(
        "--shadow", metavar="FILE", help="log decisions beside what was done (`placed`), a JSON object a line"
    )
    parser.add_argument(
        "--cluster", metavar="YAML", help="servers that differ, as the file of `evaluate --cluster` says them"
    )
    for option, unit, what in (
        ("--node-cpu", "CORES", "of a NUMA node (the model's, else 40)"),
        ("--node-memory", "GIB", "of a NUMA node (the model's, else 90)"),
        (
            "--double-memory-threshold",
            "GIB",
            "VMs with more are split over both nodes (the model's, else 10)",
        ),
    ):
        parser.add_argument(option, type=float, metavar=unit, help=what)
    parser.add_argument("--trace", metavar="PATH", help="whose flavours `fgd` asks for")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until Ctrl-C; see `--help`."""
    arguments = _parser().parse_args(argv)
    from pathlib import Path

    from spane_rllib.core.files import check_file_writable
    from spane_rllib.problems.vm_scheduling.serving.application import load_application
    from spane_rllib.problems.vm_scheduling.serving.counters import metrics_text

    shadow = None
    if arguments.shadow is not None:
        shadow = str(Path(arguments.shadow).absolute())
        check_file_writable(shadow)
    make = partial(load_application, arguments.policy, shadow, trace=arguments.trace, **_cluster(arguments))
    make()  # a bad name fails here in one line, and what is compiled is compiled once
    from spane_rllib.cluster.serving import served

    with served(
        make,
        metrics_text,
        host=arguments.host,
        port=arguments.port,
        replicas=arguments.replicas,
        max_body=arguments.max_body * 2**20,
    ) as address:
        print(f"{arguments.policy} answers at {address}/place (Ctrl-C ends)", flush=True)
        while True:  # Python handles a signal that comes just before a wait begins only when the wait ends
            time.sleep(0.5)
    return 0


def _cluster(arguments: argparse.Namespace) -> dict[str, Any]:
    """The keywords of `load_policy` that say what the servers are; None where the model says it."""
    from spane_rllib.core.errors import UserError

    sizes = {name: getattr(arguments, name) for name in _SIZES}
    if arguments.cluster is None:
        return sizes
    for name, value in sizes.items():
        if value is not None:
            raise UserError(f"argument --{name.replace('_', '-')}: not allowed with argument --cluster")
    from spane_rllib.problems.vm_scheduling.data import read_cluster

    settings = read_cluster(arguments.cluster)
    if settings.server_groups is None:
        return settings.model_dump(include=set(_SIZES))
    return settings.model_dump(include={"server_groups", "double_memory_threshold"})


if __name__ == "__main__":
    sys.exit(run_command(main))

"""`python -m benchmarks`: measure, print, and write the published table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from spane_rllib.core.console import Progress, format_table, run_command

TOPICS = (
    "kernels",
    "environments",
    "evaluation",
    "training",
    "start_up",
    "loading",
    "deploying",
    "rescheduling",
    "gpu_jobs",
)
TOOLS = ("mutants", "soak", "versions")
ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
OUTPUT = ROOT / "results" / "published" / "benchmarks.csv"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; a run of everything also updates the table in the documentation."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in TOOLS:
        return int(import_module(f"benchmarks.{argv[0]}").main(argv[1:]))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this package.",
        epilog=f"Beside the measurements, with --help of their own: {', '.join(TOOLS)}.",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works, not how fast")
    parser.add_argument(
        "--only", action="append", choices=TOPICS, metavar="NAME", help=f"one of {', '.join(TOPICS)}"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.csv",
        help="where to write the rows (default, of a full run: results/published/benchmarks.csv)",
    )
    arguments = parser.parse_args(argv)
    full = not (arguments.quick or arguments.only)

    # Imported here, since every child process imports this file.
    from benchmarks import report
    from spane_rllib.datasets.vm_traces.loading import describe_source, load_trace

    trace = describe_source(load_trace())
    topics = arguments.only or TOPICS
    progress = Progress("benchmarks", len(topics), "topics", log_every_s=0)
    rows = []
    for done, topic in enumerate(topics, start=1):
        rows += import_module(f"benchmarks.{topic}").measure(arguments.quick)
        progress.update(done, topic)
    if arguments.quick:
        rows = [replace(row, target=None, moonshot=None) for row in rows]
    print(report.environment(trace))
    print(format_table(report.COLUMNS, [report.texts(row) for row in rows]))
    output = arguments.output or (OUTPUT if full else None)
    if output:
        report.write_csv(output, rows)
    if full:
        report.update_document(DOCUMENT, rows, trace)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))

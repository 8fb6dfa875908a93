"""`python -m spane_rllib.submit`: the main job and wait-time evaluations as jobs of a Ray cluster."""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spane_rllib.core.console import run_command
from spane_rllib.core.errors import UserError
from spane_rllib.evaluate import add_episode_arguments
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS

if TYPE_CHECKING:
    from spane_rllib.experiments.tuning.config import ExperimentConfig

_TUNE_EPILOG = """The configuration is checked here and uploaded with the sources of this package; traces and
results are passed by path and must lie on storage that the nodes share. Exit code: 0 the job succeeded, 1 it
failed, 2 bad input or no cluster, 130 Ctrl-C (the job goes on)."""

_WAIT_TIME_EPILOG = """One job per model and one for the heuristics; call it again after an interruption and
only what is missing is evaluated. Writes the episodes.csv and summary.csv that python -m spane_rllib.evaluate
would write. Models, trace and --output must lie on storage that the nodes share."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m spane_rllib.submit", description="Run the main job or evaluations on a Ray cluster."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    tune = commands.add_parser("tune", help="submit the main job and follow it", epilog=_TUNE_EPILOG)
    tune.add_argument(
        "config", nargs="?", metavar="CONFIG", help="YAML file or name of a preset (default: quick)"
    )
    tune.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="override a key"
    )
    tune.add_argument("--resume", metavar="DIR", help="continue the experiment in this results folder")
    tune.add_argument(
        "--trace",
        metavar="PATH",
        help="trace on shared storage (default: the one CONFIG names, else SPANE_RLLIB_DATA)",
    )
    tune.add_argument("--no-wait", action="store_true", help="submit and return")

    wait_time = commands.add_parser(
        "wait-time", help="evaluate models, one job each", epilog=_WAIT_TIME_EPILOG
    )
    wait_time.add_argument("models", nargs="+", metavar="MODEL", help="directory of a trained model")
    wait_time.add_argument(
        "--output", required=True, metavar="DIR", help="folder for results, on shared storage"
    )
    add_episode_arguments(wait_time)
    wait_time.add_argument(
        "--heuristics", default="all", metavar="NAMES", help="all (default), none, or names with commas"
    )
    wait_time.add_argument("--parallel", type=int, default=4, metavar="K", help="jobs at the same time (4)")
    wait_time.add_argument(
        "--retries", type=int, default=2, metavar="R", help="further attempts at a failed job (2)"
    )
    for command in (tune, wait_time):
        command.add_argument(
            "--address",
            metavar="URL",
            default=os.environ.get("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:8265"),
            help="Ray dashboard (default: RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265)",
        )
        sources = command.add_mutually_exclusive_group()
        sources.add_argument("--working-dir", metavar="DIR", help="upload these sources too")
        sources.add_argument(
            "--installed", action="store_true", help="the nodes have the package; upload no sources"
        )
        command.add_argument(
            "--max-upload", type=int, default=20, metavar="MIB", help="refuse to upload more (20)"
        )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    arguments = _parser().parse_args(argv)
    return _submit_tune(arguments) if arguments.command == "tune" else _submit_wait_time(arguments)


@contextmanager
def _upload(arguments: argparse.Namespace, extra: dict[str, str]) -> Iterator[Path | None]:
    """A folder with what the job needs, `extra` (texts by file name) included; None for nothing."""
    from spane_rllib.cluster.packing import pack, package_sources, sources_of

    with tempfile.TemporaryDirectory(prefix="spane-rllib-upload-") as scratch:
        written, target = Path(scratch, "extra"), Path(scratch, "upload")
        written.mkdir()
        upload = {} if arguments.installed else package_sources()
        if arguments.working_dir:
            own = sources_of(Path(arguments.working_dir))
            # A checkout of the package replaces this one; a mixture of the two would be neither.
            upload = own if "spane_rllib/__init__.py" in own else upload | own
        for name, text in extra.items():
            (written / name).write_text(text, encoding="utf-8")
            upload[name] = written / name
        size = pack(upload, target, arguments.max_upload * 2**20)
        if upload:
            print(f"upload: {len(upload)} files, {size / 1024:,.0f} KiB", file=sys.stderr)
        yield target if upload else None


def _submit_tune(arguments: argparse.Namespace) -> int:
    from spane_rllib.experiments.results.folder import ResultsFolder
    from spane_rllib.experiments.settings_files import dump_settings
    from spane_rllib.experiments.tuning.loading import load_experiment

    if arguments.resume is not None:
        if arguments.config is not None or arguments.overrides or arguments.trace:
            raise UserError(
                "--resume takes the configuration of the results folder; leave out CONFIG, --set, --trace"
            )
        folder = ResultsFolder(Path(arguments.resume).absolute())
        config = folder.load_config()
        extra, what = {}, ["--resume", str(folder.path)]
    else:
        config = _placed(load_experiment(arguments.config or "quick", arguments.overrides), arguments.trace)
        folder = ResultsFolder(Path(config.output, config.name))
        extra = {"experiment.yaml": dump_settings(config)}
        what = ["experiment.yaml"]
    from spane_rllib.cluster.client import Jobs

    jobs = Jobs(arguments.address)
    with _upload(arguments, extra) as working_dir:
        submission_id = jobs.submit(
            f"tune-{config.name}",
            shlex.join(["python", "-m", "spane_rllib.tune", *what]),
            working_dir,
            {
                "command": "tune",
                "experiment": config.name,
                "config_sha256": hashlib.sha256(dump_settings(config).encode()).hexdigest(),
                "trace": config.trace.source,
                "results": str(folder.path),
            },
        )
    print(f"submitted {submission_id}; results in {folder.path} of the cluster's nodes", file=sys.stderr)
    if arguments.no_wait:
        jobs.print_hint(submission_id)
        return 0
    try:
        status = jobs.follow(submission_id)
    except (KeyboardInterrupt, UserError):
        print("\nno longer following; the job goes on:", file=sys.stderr)
        jobs.print_hint(submission_id)
        raise
    print(f"{submission_id}: {status.value.lower()}", file=sys.stderr)
    return 0 if status.value == "SUCCEEDED" else 1


def _placed(config: ExperimentConfig, trace: str | None) -> ExperimentConfig:
    """`config` with paths that mean the same in the job, whose own folder Ray removes."""
    from spane_rllib.problems.vm_scheduling.traces.loading import DATA_VARIABLE

    source = trace or config.trace.source
    if source == "auto":
        # By name, not by variable: a node without the file is to say so, not fall back to a synthetic trace.
        source = os.environ.get(DATA_VARIABLE) or "synthetic"
    if source.partition(":")[0] != "synthetic":
        source = str(Path(source).expanduser().absolute())
    return config.model_copy(
        update={
            "output": str(Path(config.output).expanduser().absolute()),
            "trace": config.trace.model_copy(update={"source": source}),
        }
    )


def _submit_wait_time(arguments: argparse.Namespace) -> int:
    heuristics = _heuristics(arguments.heuristics)
    for option, least in (("parallel", 1), ("retries", 0)):
        if getattr(arguments, option) < least:
            raise UserError(f"--{option}: {getattr(arguments, option)} is not allowed; give {least} or more")
    from spane_rllib.cluster.client import Jobs
    from spane_rllib.cluster.parts import Part, collect, make_parts, run_parts
    from spane_rllib.evaluate import read_episodes
    from spane_rllib.problems.vm_scheduling.traces.loading import describe_source
    from spane_rllib.problems.vm_scheduling.waits.evaluation import summarize, summary_table, write_tables

    episodes = read_episodes(arguments)
    output = Path(arguments.output).absolute()
    parts = make_parts(arguments.models, heuristics, episodes, arguments.seed, output)
    options = _episode_options(arguments)
    print(f"trace: {describe_source(episodes.trace)}", file=sys.stderr)
    jobs = Jobs(arguments.address)
    with _upload(arguments, {}) as working_dir:

        def submit(part: Part) -> str:
            policies = [word for policy in part.arguments for word in ("--policy", policy)]
            command = ["python", "-m", "spane_rllib.evaluate", *policies, *options]
            submission_id = jobs.submit(
                f"wait-time-{Path(part.name).name}",
                shlex.join([*command, "--output", str(part.folder)]),
                working_dir,
                {
                    "command": "wait-time",
                    "model": part.name,
                    "trace": episodes.trace.name,
                    "trace_sha256": episodes.trace.sha256,
                    "split": arguments.starts or arguments.split,
                    "servers": ",".join(str(cluster.servers) for cluster in episodes.clusters),
                    "part": part.key,
                    "folder": str(part.folder),
                },
                num_cpus=1,
            )
            print(f"submitted {submission_id}", file=sys.stderr)
            return submission_id

        try:
            failed = run_parts(jobs, parts, submit, parallel=arguments.parallel, retries=arguments.retries)
        except KeyboardInterrupt:
            print("\ninterrupted; submitted jobs go on, the same command continues", file=sys.stderr)
            return 130
    for name, submission_id in failed.items():
        print(f"failed: {name}: {jobs.last_line(submission_id)}", file=sys.stderr)
        print(f"  ray job logs --address {jobs.address} {submission_id}", file=sys.stderr)
    if failed:
        print("what is finished is kept; the same command tries the rest again", file=sys.stderr)
        return 1
    table = collect(parts)
    summary = summarize(table)
    write_tables(output, table, summary)
    print(summary_table(summary))
    return 0


def _heuristics(text: str) -> list[str]:
    if text in ("all", "none"):
        return list(HEURISTICS) if text == "all" else []
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in HEURISTICS:
            raise UserError(
                f"--heuristics: {name!r} is not a heuristic; all, none, or: {', '.join(HEURISTICS)}"
            )
    return names


def _episode_options(arguments: argparse.Namespace) -> list[str]:
    """The options of `add_episode_arguments` for a job, paths absolute and defaults spelt out."""
    from spane_rllib.problems.vm_scheduling.traces.loading import resolve_source

    source = resolve_source(arguments.trace)
    if isinstance(source, dict):
        trace = "synthetic:" + ",".join(f"{name}={value}" for name, value in source.items())
    else:
        trace = str(source)
    options = {
        "--trace": trace,
        "--node-cpu": arguments.node_cpu,
        "--node-memory": arguments.node_memory,
        "--double-memory-threshold": arguments.double_memory_threshold,
        "--seed": arguments.seed,
    }
    if arguments.starts is not None:
        options["--starts"] = Path(arguments.starts).absolute()
    else:
        options |= {"--split": arguments.split, "--episodes": arguments.episodes}
    servers = [("--servers", n) for n in dict.fromkeys(arguments.servers or [5])]
    return [str(word) for pair in [*options.items(), *servers] for word in pair]


if __name__ == "__main__":
    sys.exit(run_command(main))

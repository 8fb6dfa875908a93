"""`python -m spane_rllib.submit`: the main job and evaluations as jobs of a Ray cluster."""

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

from spane_rllib.core.console import Parser, add_trust, configured_parser, run_command, whole_number
from spane_rllib.core.errors import UserError
from spane_rllib.core.reading import user_path
from spane_rllib.core.words import suggestion
from spane_rllib.problems.parser import open_evaluation, problem_parser
from spane_rllib.problems.problem import Problem

_COMMANDS = """commands:
  tune       submit the main job and follow it
  evaluate   evaluate models, one job each; wait-time is another name for it"""

_TUNE_EPILOG = """The configuration is checked here and uploaded with the sources of this package; data and
results are passed by path and must lie on storage that the nodes share. Exit code: 0 the job succeeded, 1 it
failed, 2 bad input or no cluster, 130 Ctrl-C (the job goes on)."""

_EVALUATE_EPILOG = """Heuristics of the problem {name}: {baselines}.

One job per model and one for the heuristics; call it again after an interruption and only what is missing is
evaluated. Writes the episodes.csv and summary.csv that python -m spane_rllib.evaluate would write. Models,
data and --output must lie on storage that the nodes share."""


def _tune_parser() -> Parser:
    parser = configured_parser(
        "submit tune",
        "Run the main job on a Ray cluster.",
        _TUNE_EPILOG,
        config="YAML file or name of a preset (default: quick)",
        example="seed=1",
        what="experiment",
    )
    parser.add_argument(
        "--trace",
        metavar="PATH",
        help="data on shared storage (default: what CONFIG names)",
    )
    add_trust(parser)
    parser.add_argument("--no-wait", action="store_true", help="submit and return")
    _add_cluster_arguments(parser)
    return parser


def _evaluate_parser(command: str, argv: Sequence[str]) -> Parser:
    parser = problem_parser(
        f"submit {command}", "Evaluate models of a problem on a Ray cluster.", _EVALUATE_EPILOG, argv
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="directory of a trained model, a shipped one (NAME@pretrained), or module:Class",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder for results, on shared storage"
    )
    parser.add_argument(
        "--heuristics", default="all", metavar="NAMES", help="all (default), none, or names with commas"
    )
    parser.add_argument(
        "--parallel",
        type=whole_number(1, 10_000),
        default=4,
        metavar="K",
        help="jobs at the same time (4)",
    )
    parser.add_argument(
        "--retries",
        type=whole_number(0, 1000),
        default=2,
        metavar="R",
        help="further attempts at a failed job (2)",
    )
    _add_cluster_arguments(parser)
    return parser


def _add_cluster_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--address",
        metavar="URL",
        default=os.environ.get("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:8265"),
        help="Ray dashboard (default: RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265)",
    )
    sources = parser.add_mutually_exclusive_group()
    sources.add_argument("--working-dir", metavar="DIR", help="upload these sources too")
    sources.add_argument(
        "--installed", action="store_true", help="the nodes have the package; upload no sources"
    )
    parser.add_argument(
        "--max-upload",
        type=whole_number(1, 100_000),
        default=20,
        metavar="MIB",
        help="refuse to upload more (20)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        prog="python -m spane_rllib.submit",
        description="Run the main job or evaluations on a Ray cluster.",
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=("tune", "evaluate", "wait-time"), metavar="COMMAND")
    command, rest = parser.parse_args(words[:1]).command, words[1:]
    if command == "tune":
        return _submit_tune(_tune_parser().parse_args(rest))
    return _submit_evaluation(command, _evaluate_parser(command, rest).parse_args(rest))


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
        extra, what = {}, ["--resume", str(folder.path), *(["--trust"] if arguments.trust else [])]
    else:
        config = load_experiment(arguments.config or "quick", arguments.overrides)
        # The job runs in a folder of its own, which Ray removes.
        config = config.about.placed(config, arguments.trace)
        config = config.model_copy(update={"output": str(user_path(config.output))})
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
                "problem": config.problem,
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


def _submit_evaluation(command: str, arguments: argparse.Namespace) -> int:
    from spane_rllib.problems.registry import find_problem

    problem = find_problem(arguments.problem)
    heuristics = _heuristics(problem, arguments.heuristics)
    from spane_rllib.cluster.client import Jobs
    from spane_rllib.cluster.parts import EvaluationJob, collect, make_jobs, run_jobs
    from spane_rllib.experiments.results.parts import PartStore
    from spane_rllib.experiments.results.tables import write_tables

    evaluation = open_evaluation(problem, arguments)
    output = Path(arguments.output).absolute()
    store = PartStore(output / "parts", evaluation)
    jobs = make_jobs(evaluation, list(dict.fromkeys(arguments.models)), heuristics)
    options = ["--problem", arguments.problem, *problem.job_arguments(arguments)]
    identity = evaluation.task.identity
    print(evaluation.description, file=sys.stderr)
    queue = Jobs(arguments.address)
    with _upload(arguments, {}) as working_dir:

        def submit(job: EvaluationJob) -> str:
            policies = [word for policy in job.policies for word in ("--policy", policy)]
            submission_id = queue.submit(
                f"{command}-{Path(job.name).name}",
                shlex.join(
                    [
                        *("python", "-m", "spane_rllib.evaluate", *policies, *options),
                        *("--parts", str(store.folder)),
                    ]
                ),
                working_dir,
                {
                    "command": command,
                    "model": job.name,
                    "problem": arguments.problem,
                    "data": identity.name,
                    "data_sha256": identity.sha256,
                    "episodes": f"{len(evaluation.pairs)}; {evaluation.chosen}",
                    problem.case: ",".join(map(str, evaluation.cases)),
                    "part": job.key,
                    "folder": str(store.folder),
                },
                num_cpus=1,
            )
            print(f"submitted {submission_id}", file=sys.stderr)
            return submission_id

        try:
            failed = run_jobs(
                queue, jobs, store, submit, parallel=arguments.parallel, retries=arguments.retries
            )
        except KeyboardInterrupt:
            print("\ninterrupted; submitted jobs go on, the same command continues", file=sys.stderr)
            return 130
    for name, submission_id in failed.items():
        print(f"failed: {name}: {queue.last_line(submission_id)}", file=sys.stderr)
        print(f"  ray job logs --address {queue.address} {submission_id}", file=sys.stderr)
    if failed:
        print("what is finished is kept; the same command tries the rest again", file=sys.stderr)
        return 1
    episodes = collect(evaluation, jobs, store)
    summary = problem.summarize(episodes)
    write_tables(output, {"episodes": episodes, "summary": summary})
    print(evaluation.summary_text(summary))
    return 0


def _heuristics(problem: Problem, text: str) -> list[str]:
    if text in ("all", "none"):
        return list(problem.baselines) if text == "all" else []
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in problem.baselines:
            hint = suggestion(name, problem.baselines)
            raise UserError(f"--heuristics: {name!r} is not a heuristic; all, none, or some of them; {hint}")
    return names


if __name__ == "__main__":
    sys.exit(run_command(main))

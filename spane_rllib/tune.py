"""`python -m spane_rllib.tune`: train, choose and compare scheduling policies (the main job)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from spane_rllib.core.console import Parser, add_trust, configured_parser, run_command
from spane_rllib.core.presets import presets_text

_EPILOG = """All keys: docs/configuration.md.

Trials run on an embedded local Ray, or on the cluster the process is in (ray job submit -- python -m
spane_rllib.tune). Ctrl-C leaves a state that --resume continues."""


def _parser() -> Parser:
    parser = configured_parser(
        "tune",
        "Train scheduling policies with Ray Tune, compare the best with baselines, write a report.",
        presets_text() + "\n\n" + _EPILOG,
        config="YAML file or name of a preset (default: quick)",
        example="training.gradient_steps=500",
        what="experiment",
    )
    parser.add_argument(
        "--from",
        metavar="MODEL_DIR",
        dest="start_from",
        help="fine-tune: trials begin with the weights and network options of this model",
    )
    add_trust(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    arguments = _parser().parse_args(argv)
    from spane_rllib.core.errors import UserError
    from spane_rllib.experiments.results.folder import ResultsFolder, folder_to_resume
    from spane_rllib.experiments.tuning.extras import check_extras
    from spane_rllib.experiments.tuning.loading import load_experiment

    if arguments.resume is not None:
        if arguments.start_from is not None:
            raise UserError("argument --from: not allowed with argument --resume, which knows it")
        folder = folder_to_resume(arguments, "experiment")
        config = folder.load_config()
        check_extras(config)
    else:
        config = load_experiment(arguments.config or "quick", arguments.overrides, arguments.start_from)
        check_extras(config)
        folder = ResultsFolder(Path(config.output) / config.name)
        folder.check_free()
    from spane_rllib.experiments.compiling_ahead import compiling_ahead

    # Before Ray and RLlib are imported, which takes seconds on one core.
    with compiling_ahead(config.problem) as wait_for_compiled:
        from spane_rllib.experiments.main_job import run_main_job
        from spane_rllib.experiments.tuning.training import Interrupted

        resume = arguments.resume is not None
        try:
            run_main_job(config, folder, resume, arguments.trust, wait_for_compiled)
        except (Interrupted, KeyboardInterrupt):
            print("interrupted; what is finished is kept. Continue with:", file=sys.stderr)
            print(f"  python -m spane_rllib.tune --resume {folder.path}", file=sys.stderr)
            return 130
    print((folder.path / "report.md").read_text())
    print(f"results in {folder.path}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))

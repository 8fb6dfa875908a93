"""`python -m spane_rllib.study`: trained models beside heuristics, with intervals, without training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from spane_rllib.core.console import Parser, configured_parser, run_command
from spane_rllib.core.presets import presets_text

_EPILOG = """All keys: docs/configuration.md. `information` has rows by what is known in the place of models.

Writes summary.csv, groups.csv, comparisons.csv, episodes.csv (up to a million rows), figures and report.md.
Ctrl-C leaves a state that --resume continues."""


def _parser() -> Parser:
    return configured_parser(
        "study",
        "Evaluate trained models beside heuristics on the same episodes, with intervals.",
        presets_text("studies") + "\n\n" + _EPILOG,
        config="YAML file or name of a preset",
        example="evaluation.episodes=all",
        what="study",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    arguments = _parser().parse_args(argv)
    from spane_rllib.core.errors import UserError
    from spane_rllib.experiments.results.folder import ResultsFolder, folder_to_resume
    from spane_rllib.experiments.studies.config import load_study, own_study

    if arguments.resume is not None:
        folder = folder_to_resume(arguments, "study")
        config = load_study(folder.config_file)
    elif arguments.config is None:
        raise UserError("name a CONFIG, or --resume DIR; see python -m spane_rllib.study --help")
    else:
        config = load_study(arguments.config, arguments.overrides)
        folder = ResultsFolder(Path(config.output) / config.name)
        folder.check_free()
    from spane_rllib.experiments.studies.job import run_study
    from spane_rllib.experiments.studies.own import run_own_study
    from spane_rllib.problems.registry import find_problem

    own, resume = own_study(config), arguments.resume is not None
    try:
        if own is not None:
            run_own_study(find_problem(config.problem), own, config, folder, resume)
        else:
            run_study(config, folder, resume)
    except KeyboardInterrupt:
        if folder.config_file.is_file():
            print("interrupted; what is finished is kept. Continue with:", file=sys.stderr)
            print(f"  python -m spane_rllib.study --resume {folder.path}", file=sys.stderr)
        return 130
    print((folder.path / "report.md").read_text(encoding="utf-8"))
    print(f"results in {folder.path}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))

"""The results folder of an experiment: what lies where in it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from spane_rllib.core.errors import UserError
from spane_rllib.core.files import check_writable, write_text
from spane_rllib.core.reading import read_bytes
from spane_rllib.core.settings import Settings, user_error
from spane_rllib.experiments.settings_files import dump_settings
from spane_rllib.experiments.tuning.config import ExperimentConfig
from spane_rllib.experiments.tuning.loading import load_experiment

Content = TypeVar("Content")
MAX_JSON = 1 << 24  # bytes
_STAGES = TypeAdapter(dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]])


@dataclass(frozen=True)
class ResultsFolder:
    """Paths of one experiment; everything is found relative to `path`, so the folder may be moved."""

    path: Path

    @property
    def config_file(self) -> Path:
        """The complete configuration, as YAML."""
        return self.path / "config.yaml"

    @property
    def identity_file(self) -> Path:
        """Name and hash of the data, see `identity`."""
        return self.path / "identity.json"

    @property
    def fixed_settings_file(self) -> Path:
        """Settings that must stay as they were when the experiment began, see `identity`."""
        return self.path / "fixed_settings.json"

    @property
    def owner_file(self) -> Path:
        """Says who made the folder, see `trust`."""
        return self.path / ".owner"

    @property
    def tune(self) -> Path:
        """Ray Tune's experiment; TensorBoard reads it."""
        return self.path / "tune"

    @property
    def tune_archive(self) -> Path:
        """A complete snapshot of the state of `tune`, see `tune_state`."""
        return self.path / "tune_state.zip"

    @property
    def models(self) -> Path:
        """Exported weights, `<method>/<trial>/`."""
        return self.path / "models"

    @property
    def parts(self) -> Path:
        """Evaluated parts, see `parts.PartStore`."""
        return self.path / "parts"

    @property
    def figures(self) -> Path:
        """PNG files."""
        return self.path / "figures"

    def check_free(self) -> None:
        """Raise a `UserError` if there is an experiment already, or none can be written."""
        check_writable(self.path)
        if self.config_file.exists():
            raise UserError(
                f"{self.path} holds an experiment already; continue it with --resume {self.path}, "
                "or choose another name with --set name=NAME"
            )

    def check_begun(self, what: str) -> None:
        """Raise a `UserError` if no run, called `what`, has begun here."""
        if not self.config_file.is_file():
            raise UserError(f"{self.path}: no {what} there (no config.yaml); give a results folder")

    def create(self, config: Settings) -> None:
        """Begin a new experiment here; see `check_free`."""
        self.check_free()
        write_text(self.config_file, dump_settings(config))

    def load_config(self) -> ExperimentConfig:
        """The configuration of the experiment here.

        Raises:
            UserError: there is none, or it is damaged.
        """
        self.check_begun("experiment")
        return load_experiment(self.config_file)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the wall time of the block to what stage `name` has taken, also when it is interrupted."""
        started = time.monotonic()
        try:
            yield
        finally:
            stages = self.stages()
            stages[name] = stages.get(name, 0.0) + time.monotonic() - started
            write_text(self.path / "stages.json", json.dumps(stages, indent=2))

    def stages(self) -> dict[str, float]:
        """Wall seconds spent in each stage so far, in order; a `UserError` when the file is damaged."""
        file = self.path / "stages.json"
        return read_json(file, _STAGES) if file.exists() else {}


def folder_to_resume(arguments: argparse.Namespace, what: str) -> ResultsFolder:
    """The folder that --resume of a `console.configured_parser` names, in which a `what` has begun.

    Raises:
        UserError: none has, or the command line has settings of its own.
    """
    if arguments.config is not None or arguments.overrides:
        raise UserError("--resume takes the configuration of the results folder; leave out CONFIG and --set")
    folder = ResultsFolder(Path(arguments.resume))
    folder.check_begun(what)
    return folder


def read_json(file: Path, kind: TypeAdapter[Content]) -> Content:
    """What `file` of a results folder holds; a `UserError` when it cannot be read or is no `kind`."""
    try:
        return kind.validate_json(read_bytes(file, MAX_JSON, "this"))
    except ValidationError as error:
        raise UserError(f"{user_error(error, str(file))}; delete it, --resume writes it again") from error

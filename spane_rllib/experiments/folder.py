"""The results folder of an experiment: what lies where in it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spane_rllib.errors import UserError
from spane_rllib.experiments.config import ExperimentConfig
from spane_rllib.experiments.loading import dump_experiment, load_experiment
from spane_rllib.files import write_text


@dataclass(frozen=True)
class ResultsFolder:
    """Paths of one experiment; everything is found relative to `path`, so the folder may be moved."""

    path: Path

    @property
    def config_file(self) -> Path:
        """The complete configuration, as YAML."""
        return self.path / "config.yaml"

    @property
    def tune(self) -> Path:
        """Ray Tune's experiment; TensorBoard reads it."""
        return self.path / "tune"

    @property
    def models(self) -> Path:
        """Exported weights, `<method>/<trial>/`."""
        return self.path / "models"

    def evaluation_part(self, policy: str, servers: int) -> Path:
        """Episodes of one policy on one number of servers."""
        return self.path / "evaluation" / f"{policy}-{servers}-servers.csv"

    @property
    def figures(self) -> Path:
        """PNG files."""
        return self.path / "figures"

    def create(self, config: ExperimentConfig) -> None:
        """Begin a new experiment here.

        Raises:
            UserError: there is one already.
        """
        if self.config_file.exists():
            raise UserError(
                f"{self.path} holds an experiment already; continue it with --resume {self.path}, "
                "or choose another name with --set name=NAME"
            )
        write_text(self.config_file, dump_experiment(config))

    def load_config(self) -> ExperimentConfig:
        """The configuration of the experiment here.

        Raises:
            UserError: there is none, or it is damaged.
        """
        if not self.config_file.is_file():
            raise UserError(f"{self.path}: no experiment there (no config.yaml); give a results folder")
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
        """Wall seconds spent in each stage so far, in order."""
        file = self.path / "stages.json"
        return json.loads(file.read_text()) if file.is_file() else {}

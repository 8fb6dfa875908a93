"""The models that the package ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spane_rllib.__main__ import main
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.loading import load_trace
from spane_rllib.problems.vm_scheduling.networks.weights import load_model
from spane_rllib.problems.vm_scheduling.policies import load_policy
from spane_rllib.problems.vm_scheduling.pretrained import FOLDER, model_folder, pretrained_names
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    EpisodeResults,
    compile_workload,
    probe_vm_counts,
)


def test_spane_and_best_are_shipped_with_a_card() -> None:
    assert pretrained_names() == ["best@pretrained", "spane@pretrained"]
    for name in pretrained_names():
        folder = model_folder(name)
        _, metadata = load_model(folder)
        card = (folder / "card.md").read_text(encoding="utf-8")
        for word in (
            metadata.trace.name,
            metadata.trace.sha256[:12],
            str(metadata.seed),
            "python -m spane_rllib",
        ):
            assert word in card, f"{name}: its card does not name {word}"
        assert sum(file.stat().st_size for file in folder.iterdir()) < 100_000


@pytest.mark.parametrize("name", ["best@pretrained", "spane@pretrained"])
@pytest.mark.parametrize("servers", [2, 5, 9])
def test_a_shipped_policy_schedules_better_than_first_fit(name: str, servers: int) -> None:
    trace = load_trace("synthetic:vms=30000")
    cluster = Cluster(servers=servers)
    workload = compile_workload(trace, cluster)
    starts = np.arange(0, 20_000, 100)
    counts = probe_vm_counts(workload, cluster, starts)
    waits = {
        policy: EpisodeResults.of_state(
            *load_policy(policy).play(workload, cluster, starts, counts, 0)
        ).total_wait
        for policy in (name, "first-fit")
    }
    assert np.sqrt(waits[name]).mean() < np.sqrt(waits["first-fit"]).mean()


def test_other_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"did you mean best@pretrained\?"):
        load_policy("bets@pretrained")
    assert main(["evaluate", "--policy", "../models@pretrained", "--trace", "synthetic:vms=3000"]) == 2
    assert "not shipped" in capsys.readouterr().err


def test_a_path_stays_a_path() -> None:
    assert model_folder("results/quick/models") == Path("results/quick/models")
    assert FOLDER.name == "pretrained"

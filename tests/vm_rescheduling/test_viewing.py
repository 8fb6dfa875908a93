"""Recorded plans: written by `evaluate`, read, drawn as a page and as frames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.problems.recordings import read_recording
from spane_rllib.problems.vm_rescheduling.mappings.synthetic import generate
from spane_rllib.problems.vm_rescheduling.planners.names import planner
from spane_rllib.problems.vm_rescheduling.planners.planner import Request
from spane_rllib.problems.vm_rescheduling.viewing.recorder import record_plan
from spane_rllib.problems.vm_rescheduling.viewing.viewer import PlanViewer, RecordedPlan
from spane_rllib.viewer.page import render_page


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    request = Request(generate("high", 6200, 20), 4, 20.0)
    file = tmp_path_factory.mktemp("recorded") / "plan.json"
    return record_plan(request, planner("balcon")(request).plan, "balcon", file)


def read(file: Path) -> RecordedPlan:
    return PlanViewer().read(file, read_recording(file)[1])


def test_a_recording_is_read_and_drawn(recording: Path) -> None:
    viewer = PlanViewer()
    plan = read(recording)
    assert len(plan.rates) == len(plan.moves) + 1 > 1
    assert plan.rates[-1] < plan.rates[0]
    viewer.check_pair(plan, plan)
    page = render_page(viewer.page([plan, plan]))
    assert plan.hosts[0] in page
    assert "PlanEpisode" in page
    animation = viewer.animation([plan, plan])
    animation.draw(animation.moments[0])
    animation.draw(animation.moments[-1])


def test_damaged_recordings_and_other_mappings(recording: Path, tmp_path: Path) -> None:
    viewer = PlanViewer()
    for change in ({"rates": [0.5]}, {"moves": [[0, 99, 0]]}, {"hosts": []}, {"cores": ["x"]}):
        file = tmp_path / "damaged.json"
        file.write_text(json.dumps(json.loads(recording.read_text()) | change))
        with pytest.raises(UserError, match=r"damaged\.json"):
            read(file)
    plan = read(recording)
    with pytest.raises(UserError, match="two plans for one mapping"):
        viewer.check_pair(plan, plan.model_copy(update={"mapping": "other"}))

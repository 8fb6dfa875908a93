"""What holds for every test: time limits, Hypothesis without a clock, and what may run side by side."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from time_limits import TEST_S

ROOT = Path(__file__).parent
ALONE = {ROOT / "failures", ROOT / "cluster"}
START_RAY = {ROOT / "bad_input/test_bad_results_folders.py", ROOT / "rllib/test_algorithm.py"}
# Long files first: one that began last would leave the other worker idle. But those that start Ray and those
# that train compile the same where the cache is empty, which both workers at once would do twice.
SIMULATOR, TRAINING = ROOT / "vm_scheduling/simulator", ROOT / "vm_scheduling/test_policy_training.py"

# A busy machine, or a kernel that compiles at the first example, says nothing about the code.
settings.register_profile("spane_rllib", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("spane_rllib")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.timeout is None:
        config.option.timeout = TEST_S


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        if item.path in START_RAY or item.path.parent in ALONE:
            return 0
        return 1 if item.path.parent == SIMULATOR else 2 if item.path == TRAINING else 3

    items.sort(key=turn)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """With `--dist loadfile`: share the files out one at a time, but those that start Ray to one worker.

    So with those that kill or watch processes of Ray: two of them at once would be in each other's way.
    """
    if config.option.dist != "loadfile":
        return None
    assert all(path.exists() for path in (*START_RAY, SIMULATOR, TRAINING)), "what is named above has moved"
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            path = ROOT.parent / file
            if path.parent in ALONE:
                return "failures"
            return "Ray" if path in START_RAY else file

    return Scheduling(config, log)

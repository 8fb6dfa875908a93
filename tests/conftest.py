"""What holds for every test: time limits, Hypothesis without a clock, and what may run side by side."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from time_limits import TEST_S

ROOT = Path(__file__).parent

# A busy machine, or a kernel that compiles at the first example, says nothing about the code.
settings.register_profile("spane_rllib", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("spane_rllib")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.timeout is None:
        config.option.timeout = TEST_S


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the workers of pytest-xdist share the files out, one at a time; those that start Ray all to one."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(ROOT))))
    items.sort(key=_starts_early)


def _starts_early(item: pytest.Item) -> bool:
    """False first: a long group that begins last would leave the other workers idle."""
    marker = item.get_closest_marker("xdist_group")
    return marker is None or marker.args != ("ray",)

"""What holds for every test: time limits, and Hypothesis without a clock."""

import pytest
from hypothesis import HealthCheck, settings
from time_limits import TEST_S

# A busy machine, or a kernel that compiles at the first example, says nothing about the code.
settings.register_profile("spane_rllib", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("spane_rllib")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.timeout is None:
        config.option.timeout = TEST_S

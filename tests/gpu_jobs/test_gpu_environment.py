"""The environment keeps Gymnasium's contract, agrees with the policies, and pays for what is measured."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import validated
from spane_rllib.problems.gpu_jobs.environment import GpuJobsEnv
from spane_rllib.problems.gpu_jobs.policies import HEURISTICS
from spane_rllib.problems.gpu_jobs.simulator.schedule import measures
from spane_rllib.problems.registry import find_problem

find_problem("gpu_jobs")
PUBLISHED = {"rules": "published", "horizon": 200, "episode": {"source": "published", "seconds": 200}}


@pytest.mark.parametrize(
    "keywords", [{"episode": {"length": 20}}, pytest.param(PUBLISHED, marks=pytest.mark.slow)]
)
def test_gymnasium_finds_nothing_wrong(keywords: dict[str, object]) -> None:
    environment = gymnasium.make("spane_rllib/GPUJobs-v0", **keywords).unwrapped
    environment.action_space.seed(0)
    # The checker draws actions without their mask.
    environment.action_space = _Feasible(environment)
    check_env(environment, skip_render_check=True)


class _Feasible(gymnasium.spaces.Discrete):
    """Draws what the mask of the environment allows."""

    def __init__(self, environment: gymnasium.Env) -> None:
        super().__init__(int(environment.action_space.n), seed=0)
        self._environment = environment

    def sample(self, mask: object = None, probability: object = None) -> np.int64:
        session = self._environment._session
        if session is None:
            return super().sample()
        return super().sample(mask=session.observation["action_mask"])


@pytest.mark.parametrize("seed", range(3))
def test_the_first_that_fits_is_the_heuristic(seed: int) -> None:
    environment = GpuJobsEnv(episode={"length": 150, "loads": [1.0, 1.4], "slots": 150})
    observation, _ = environment.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        mask = observation["action_mask"]
        observation, reward, terminated, truncated, info = environment.step(int(mask.argmax()))
        total, over = total + reward, terminated or truncated
    session = environment.session
    jobs = session.jobs
    expected = HEURISTICS["weighted_shortest"].schedule(jobs, session.cluster, session.rules)
    np.testing.assert_array_equal(session.schedule().start, expected.start)
    assert info["weighted_jct"] == pytest.approx(measures(expected)["weighted_jct_s"])
    # The return is what is measured, but for what nobody can change.
    waited = (jobs.priority * (expected.start - jobs.arrival)).sum()
    assert total == pytest.approx(-waited / 3600)


def test_baselines_play_the_episodes_of_validation() -> None:
    """The first that fits, played through the environment, comes to what `weighted_shortest` does."""
    problem = find_problem("gpu_jobs")
    episode = {"length": 60, "loads": [1.0, 1.4], "slots": 60}
    task = problem.load(validated(problem.instance, {"jobs": "synthetic:jobs=100", "episode": episode}))
    validation = validated(problem.validation, {"episodes": 3, "every": 1, "seed": 2})
    seen = []
    for seed in range(3):
        environment = task.make()
        observation, _ = environment.reset(seed=2**31 + 2000 + seed)
        info: dict[str, float] = {}
        while not environment.session.over:
            observation, _, _, _, info = environment.step(int(observation["action_mask"].argmax()))
        seen.append(info["weighted_jct"])
    values = task.validate_baselines(["weighted_shortest", "fcfs", "sixth"], validation)
    assert list(values) == ["weighted_shortest", "fcfs"]  # the third plays under the published rules only
    assert values["weighted_shortest"] == pytest.approx(np.mean(seen))


def test_actions_that_the_mask_forbids_are_refused() -> None:
    environment = GpuJobsEnv(episode={"length": 5})
    observation, _ = environment.reset(seed=1)
    forbidden = int(np.flatnonzero(observation["action_mask"] == 0)[0])
    with pytest.raises(ValueError, match="does not fit"):
        environment.step(forbidden)
    with pytest.raises(UserError, match="env_config: rules"):
        GpuJobsEnv(rules="ours")

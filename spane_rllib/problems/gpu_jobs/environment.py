"""The environment: which waiting job starts next."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium
import numpy as np

from spane_rllib.core.settings import validated
from spane_rllib.problems.gpu_jobs.instance import Instance
from spane_rllib.problems.gpu_jobs.session import Observation, Session
from spane_rllib.problems.gpu_jobs.settings import GpuJobsSettings
from spane_rllib.problems.gpu_jobs.simulator.observation import OVERALL_FEATURES, SLOT_FEATURES, TYPE_FEATURES


class GpuJobsEnv(gymnasium.Env[Observation, int]):
    """
    ## Description

    Jobs ask for 0 to 8 GPUs of a cluster with several types, and run to their end. At every decision at least
    one of the K jobs that are seen fits; the policy starts one, or none until something arrives or ends.

    ## Action Space

    `Discrete(K + 1)`: the slot of the job to start; K: none.

    ## Observation Space

    | Key           | Shape      | Type    | Meaning                                                        |
    |---------------|------------|---------|----------------------------------------------------------------|
    | `slots`       | (K, 8)     | float32 | the first K waiting jobs, `observation.SLOT_FEATURES`          |
    | `types`       | (T, 4)     | float32 | the types of GPUs, `observation.TYPE_FEATURES`                 |
    | `overall`     | (4,)       | float32 | `observation.OVERALL_FEATURES`                                 |
    | `published`   | (4K + 2,)  | float32 | what the reference sees; under the published rules only        |
    | `action_mask` | (K + 1,)   | int8    | 1 for jobs that fit, and for none if there is more to come     |

    ## Rewards

    Minus the hours that jobs have waited since the last decision, times their priorities. Under
    `rules: published` every step is a second, with the reward of the reference.

    ## Starting State and Episode End

    The cluster is empty. `reset(seed=...)` draws the jobs, `options={"load": L}` fixes the load. The episode
    terminates when all jobs have started, and is truncated at the horizon. The info of the last step has
    `weighted_jct`, the mean completion time weighted by priority, in seconds.

    ## Arguments

    The keys of a configuration, see `settings.GpuJobsSettings`.
    """

    # What `inspect.signature` and help() say, and which keywords are known; the settings check the values.
    __signature__ = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in GpuJobsSettings.model_fields]
    )

    def __init__(self, **keywords: Any) -> None:
        settings = validated(GpuJobsSettings, keywords, "env_config")
        self.instance = Instance(settings)
        slots, kinds = settings.episode.slots, len(settings.cluster.types)
        box = gymnasium.spaces.Box
        spaces = {
            "slots": box(-np.inf, np.inf, (slots, len(SLOT_FEATURES))),
            "types": box(-np.inf, np.inf, (kinds, len(TYPE_FEATURES))),
            "overall": box(-np.inf, np.inf, (len(OVERALL_FEATURES),)),
            "action_mask": gymnasium.spaces.MultiBinary(slots + 1),
        }
        if settings.rules == "published":
            spaces["published"] = box(-np.inf, np.inf, (4 * slots + 2,))
        self.observation_space = gymnasium.spaces.Dict(spaces)
        self.action_space = gymnasium.spaces.Discrete(slots + 1)
        self._session: Session | None = None

    @property
    def session(self) -> Session:
        """The episode."""
        assert self._session is not None, "reset it first"
        return self._session

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw the jobs of an episode."""
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(2**31))
        self._session = self.instance.episode(drawn, (options or {}).get("load"))
        return self._session.observation, {}

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Start a job, or none."""
        session = self.session
        if not 0 <= action < len(session.observation["action_mask"]):
            raise ValueError(f"there is no slot {action}")
        # In the reference, starting what does not fit starts nothing.
        if not session.rules.published and not session.observation["action_mask"][action]:
            raise ValueError(f"the job in slot {action} does not fit")
        reward = session.step(int(action))
        info = {"weighted_jct": session.weighted_jct} if session.over else {}
        cut = session.over and session.now >= session.rules.horizon
        return session.observation, reward, session.over and not cut, cut, info

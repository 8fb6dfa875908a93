"""Training on any problem as an RLlib `Algorithm`: RLlib's shell around the runs of `learning`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQN
from ray.rllib.evaluation.metrics import RolloutMetrics
from ray.rllib.policy.sample_batch import DEFAULT_POLICY_ID
from ray.rllib.utils.metrics import (
    NUM_AGENT_STEPS_SAMPLED,
    NUM_AGENT_STEPS_TRAINED,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_TRAINED,
)
from ray.rllib.utils.metrics.learner_info import LEARNER_STATS_KEY
from torch import nn

from spane_rllib.rllib.algorithm_config import SchedulingConfig
from spane_rllib.rllib.registration import register_with_ray

MODEL_FOLDER = "model"
"""Where a checkpoint keeps the best weights in a form that loads without Ray."""


class SchedulingAlgorithm(DQN):
    """Trains a network on the problem of the environment.

    The default is dueling double DQN with n-step returns; with `training(algorithm="ppo")`, `"a2c"` or
    `"sac"` the same networks are trained by policy gradients: their values are the logits of the policy, so
    that all of RLlib's ways to act take its likeliest action.

    `train()` plays episodes side by side, makes `gradient_steps_per_iteration` gradient steps, and validates.
    Beside RLlib's usual metrics the result has `gradient_steps`, `validation_<measure>` and
    `best_validation_<measure>` for the measure of the problem, `decisions_per_s`, and
    `done` once all gradient steps are made. Checkpoints continue exactly: they hold replay memory, target
    networks, optimizers and random states. With `resources(num_gpus=...)` networks are on the GPU if there
    is one, and all gradient steps run there.
    """

    # Set by RLlib's base class.
    config: SchedulingConfig
    _episode_history: list[RolloutMetrics]

    @classmethod
    def get_default_config(cls) -> SchedulingConfig:
        """The default configuration of this algorithm."""
        return SchedulingConfig(algo_class=cls)

    def __init__(self, config: AlgorithmConfig | dict[str, Any] | None = None, **kwargs: Any) -> None:
        register_with_ray()
        super().__init__(config, **kwargs)

    def _create_local_replay_buffer_if_necessary(self, config: AlgorithmConfig) -> None:
        """No RLlib buffer: runs have their own (and Ray 2.60 fails to build one, ray issue 60491)."""
        return None

    def setup(self, config: AlgorithmConfig) -> None:
        """Build RLlib's parts, then the training run around the policy's networks."""
        super().setup(config)
        policy = self.get_policy()
        # Not one of RLlib's attributes.
        self._scheduling_task = self.config.task()
        self.run = self._scheduling_task.begin_run(
            policy.model.network,
            self.config.hyperparameters(),
            self.config.validation_settings(),
            seed=self.config.seed or 0,
            target=next(iter(policy.target_models.values())).network,
        )
        # RLlib's sampler is never run; without one iteration its metrics divide by zero.
        self.env_runner.sampler.perf_stats.incr("iters", 1)

    def training_step(self) -> dict[str, Any]:
        """Advance to the next multiple of `gradient_steps_per_iteration`."""
        step = self.config.gradient_steps_per_iteration
        before = self.run.decisions
        metrics = self.run.run_until((self.run.gradient_steps // step + 1) * step)
        played = self.run.decisions - before
        self._counters[NUM_ENV_STEPS_SAMPLED] += played
        self._counters[NUM_AGENT_STEPS_SAMPLED] += played
        trained = self.run.trained_decisions
        self._counters[NUM_ENV_STEPS_TRAINED] = self._counters[NUM_AGENT_STEPS_TRAINED] = trained
        for length, episode_return in self.run.take_played():
            self.env_runner.sampler.metrics_queue.put(RolloutMetrics(length, episode_return))
        learner = {name: metrics[name] for name in ("loss", "mean_q", "grad_norm") if name in metrics}
        return {DEFAULT_POLICY_ID: {LEARNER_STATS_KEY: learner}}

    def step(self) -> dict[str, Any]:
        """RLlib's result with our metrics at its top level."""
        decisions, seconds = self.run.decisions, sum(self.run.seconds.values())
        result = super().step()
        seconds = sum(self.run.seconds.values()) - seconds
        result |= self.run.metrics()
        result["decisions_per_s"] = (self.run.decisions - decisions) / seconds if seconds else 0.0
        result["seconds"] = dict(self.run.seconds)
        result["done"] = self.run.finished
        return result

    def reset_config(self, new_config: dict[str, Any] | AlgorithmConfig) -> bool:
        """Become a fresh algorithm with `new_config`: Tune reuses the process for another trial."""
        config = new_config
        if not isinstance(config, AlgorithmConfig):
            config = self.get_default_config().update_from_dict(dict(new_config))
        config.validate()
        config.freeze()
        self.cleanup()
        self._timers.clear()
        self._counters.clear()
        self._episode_history.clear()
        self._episodes_to_be_collected.clear()
        self.config = config
        self._env_id, self.env_creator = self._get_env_id_and_creator(config.env, config)
        self.setup(config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """RLlib's checkpoint (pickled, for continuing) and beside it the best weights as safetensors."""
        super().save_checkpoint(checkpoint_dir)
        self.export_model_directory(Path(checkpoint_dir) / MODEL_FOLDER)

    def export_model_directory(self, directory: str | Path) -> None:
        """Write the best weights so far as a model directory (safetensors and JSON, no pickle)."""
        self._scheduling_task.save_model(
            directory,
            self.run.best_network(),
            seed=self.config.seed or 0,
            metrics=self.run.best_metrics(),
            training=self.run.settings.model_dump(mode="json"),
        )

    def best_network(self) -> nn.Module:
        """A copy of the network with the weights of the best validation so far."""
        return self.run.best_network()

    def __getstate__(self) -> dict[str, Any]:
        # RLlib's own state has neither the target network nor the random states, nor the episodes that its
        # running means are over.
        own = {"training_run": self.run.state(), "episode_history": list(self._episode_history)}
        return super().__getstate__() | own

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "training_run" in state:
            self.run.load_state(state["training_run"])
            self._episode_history = list(state["episode_history"])

"""Training for VM scheduling as an RLlib `Algorithm`: RLlib's shell around the runs of `vm_scheduling`."""

from __future__ import annotations

import math
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

from spane_rllib.problems.vm_scheduling.networks.base import QNetwork
from spane_rllib.problems.vm_scheduling.networks.weights import (
    ModelMetadata,
    Normalisation,
    TraceIdentity,
    save_model,
)
from spane_rllib.problems.vm_scheduling.run import Validation
from spane_rllib.problems.vm_scheduling.runs import begin_run
from spane_rllib.problems.vm_scheduling.traces.splits import sample_starts
from spane_rllib.rllib.algorithm_config import VMSchedulingDQNConfig
from spane_rllib.rllib.registration import register_with_ray

MODEL_FOLDER = "model"
"""Where a checkpoint keeps the best weights in a form that loads without Ray."""


class VMSchedulingDQN(DQN):
    """Dueling double DQN with n-step returns on the compiled simulator (SPANE, arXiv 2504.14946).

    With `training(algorithm="ppo")`, `"a2c"` or `"sac"` the same networks are trained by policy gradients:
    their values are the logits of the policy, so that all of RLlib's ways to act take its likeliest action.

    `train()` plays episodes side by side, makes `gradient_steps_per_iteration` gradient steps, and validates.
    Beside RLlib's usual metrics the result has `gradient_steps`, `validation_wait` and `best_validation_wait`
    (trimmed mean of the total wait, seconds), `validation_gap` (over the proven lower bound), with a scenario
    `validation_allocations` and `best_validation_allocations` (mean number of VMs placed),
    `placements_per_s`, and `done` once all gradient steps are made. Checkpoints continue exactly: they hold
    replay memory, target networks, optimizers and random states.
    """

    # Set by RLlib's base class.
    config: VMSchedulingDQNConfig
    _episode_history: list[RolloutMetrics]

    @classmethod
    def get_default_config(cls) -> VMSchedulingDQNConfig:
        """The default configuration of this algorithm."""
        return VMSchedulingDQNConfig(algo_class=cls)

    def __init__(self, config: AlgorithmConfig | dict[str, Any] | None = None, **kwargs: Any) -> None:
        register_with_ray()
        super().__init__(config, **kwargs)

    def _create_local_replay_buffer_if_necessary(self, config: AlgorithmConfig) -> None:
        """No RLlib buffer: `TrainingRun` has its own (and Ray 2.60 fails to build one, ray issue 60491)."""
        return None

    def setup(self, config: AlgorithmConfig) -> None:
        """Build RLlib's parts, then the training run around the policy's networks."""
        super().setup(config)
        policy = self.get_policy()
        settings, scenario = self.config.hyperparameters(), self.config.scenario()
        trace, splits = scenario.workload.trace, scenario.split_rows
        self._trace = TraceIdentity(name=trace.name, sha256=trace.sha256)
        self.run = begin_run(
            network=policy.model.network,
            target=next(iter(policy.target_models.values())).network,
            settings=settings,
            workload=scenario.workload,
            cluster=scenario.cluster,
            train_rows=splits.train,
            validation=Validation(
                sample_starts(
                    splits, "validation", self.config.validation_episodes, self.config.validation_seed
                ),
                self.config.validation_every,
                self.config.validation_trim,
            ),
            seed=self.config.seed or 0,
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
        result["placements_per_s"] = (self.run.decisions - decisions) / seconds if seconds else 0.0
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
        cluster = self.run.cluster
        save_model(
            directory,
            self.run.best_network(),
            ModelMetadata(
                servers=cluster.servers,
                normalisation=Normalisation(
                    node_cpu=cluster.node_cpu,
                    node_memory=cluster.node_memory,
                    double_memory_threshold=cluster.double_memory_threshold
                    if math.isfinite(cluster.double_memory_threshold)
                    else None,
                ),
                trace=self._trace,
                seed=self.config.seed or 0,
                metrics=self.run.best_metrics(),
                training=self.run.settings.model_dump(mode="json"),
            ),
        )

    def best_network(self) -> QNetwork:
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

"""Training on any problem as an RLlib `Algorithm`: RLlib's shell around the runs of `learning`."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQN, DQNConfig
from ray.rllib.evaluation.metrics import RolloutMetrics
from ray.rllib.policy.policy import Policy
from ray.rllib.policy.sample_batch import DEFAULT_POLICY_ID
from ray.rllib.utils.metrics import (
    NUM_AGENT_STEPS_SAMPLED,
    NUM_AGENT_STEPS_TRAINED,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_TRAINED,
)
from ray.rllib.utils.metrics.learner_info import LEARNER_STATS_KEY
from torch import nn

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import Settings, validated
from spane_rllib.core.words import suggestion
from spane_rllib.problems.problem import Problem, Task, ValidationSettings
from spane_rllib.problems.registry import DEFAULT, find_problem, network_options, problem_of_environment
from spane_rllib.rllib.models import MODEL
from spane_rllib.rllib.policies import FactoredPolicy, ValuePolicy
from spane_rllib.rllib.registration import register_with_ray
from spane_rllib.rllib.seeding import seeding_lightly

MODEL_FOLDER = "model"
"""Where a checkpoint keeps the best weights in a form that loads without Ray."""

# What RLlib users call some of them.
_ALIASES = {"lr": "learning_rate", "gamma": "discount", "train_batch_size": "batch_size"}
_RLLIB_TRAINING = {
    name for of in (AlgorithmConfig, DQNConfig) for name in signature(of.training).parameters
} - {"self", "kwargs"}


class SchedulingConfig(DQNConfig):
    """Configures `SchedulingAlgorithm`.

    The environment decides the problem: `environment("spane_rllib/Fading-v0", env_config=...)`, where
    `env_config` has the environment's keywords. Training and validation run on the data given there.
    `training(algorithm=...)` chooses one of `Problem.algorithms`, by default the first, `dqn`. Every field of
    its settings is an attribute of the same name, set by `training()` (or by the key of that name in a Tune
    `param_space`). Setters may be called in any order: all keys are checked together, by `validate()`, which
    building the algorithm calls.

    Example:
        >>> config = SchedulingConfig().environment(env_config={"trace": "synthetic"})
        >>> config = config.training(learning_rate=0.003, gradient_steps=1000).network("spane")
        >>> algorithm = config.build_algo()
    """

    # Set by RLlib's base class, which does not declare them.
    env: Any
    env_config: dict[str, Any]
    model: dict[str, Any]

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or SchedulingAlgorithm)
        # As a method: setting the two attributes would leave RLlib's exploration settings incomplete.
        self.api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
        self.framework("torch")
        # Runs explore by themselves; what RLlib samples is for looking at: whole greedy episodes.
        self.env_runners(num_env_runners=0, batch_mode="complete_episodes", explore=False)
        self.reporting(min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=0)
        # The networks output the values of actions; RLlib is to add no layers, and its own replay buffer is
        # not used.
        self.hiddens: list[int] = []
        self.dueling = False
        self.replay_buffer_config = {"type": "MultiAgentReplayBuffer", "capacity": 1}
        self.seed: int | None = 0
        self.algorithm = ""
        """Empty: the problem's first."""
        self.given: list[str] = []
        """Hyper-parameters that were set; the others are at the defaults of problem and algorithm."""
        self.network_kind = ""
        """Empty: the problem's first."""
        self.network_options: dict[str, Any] = {}
        self.start_from = ""
        """Folder of a model whose weights the network begins with; empty: fresh ones."""
        self.validation_keys: dict[str, Any] = {}
        self.gradient_steps_per_iteration = 250
        default = next(iter(find_problem(DEFAULT).environments))
        self.environment(default, env_config={}, disable_env_checking=True)

    @property
    def problem(self) -> Problem:
        """The problem that the environment is about; raises `UserError` where it is none's."""
        return problem_of_environment(str(self.env))

    def _section(self) -> type[Settings]:
        """The settings of the algorithm on the problem."""
        algorithms = self.problem.algorithms
        if not self.algorithm:
            return next(iter(algorithms.values()))
        if self.algorithm not in algorithms:
            raise UserError(
                f"training: algorithm: unknown {self.algorithm!r}; "
                f"{suggestion(str(self.algorithm), algorithms)}"
            )
        return algorithms[self.algorithm]

    def _choose(self, algorithm: str) -> None:
        """Take the default hyper-parameters of `algorithm`."""
        self.algorithm, self.given = algorithm, []
        self._take_defaults()

    def _take_defaults(self) -> None:
        for name, field in self._section().model_fields.items():
            if name not in self.given:
                setattr(self, name, field.get_default(call_default_factory=True))

    def _give(self, name: str, value: Any) -> None:
        setattr(self, name, value)
        if name not in self.given:
            self.given = [*self.given, name]

    def environment(self, env: Any = None, **keys: Any) -> Self:
        """Choose the problem by the id of an environment, and its data by `env_config`.

        Hyper-parameters that are not set become the defaults of the problem.
        """
        if env is not None:
            keys["env"] = env
        super().environment(**keys)
        self._take_defaults()
        return self

    def training(self, **settings: Any) -> Self:
        """Set hyper-parameters: any field of the algorithm's settings, or another RLlib training key.

        `algorithm` chooses the algorithm, whose other hyper-parameters are at their defaults then.
        `gradient_steps_per_iteration` is the number of gradient steps of one `train()` call; `lr`, `gamma`
        and `train_batch_size` mean `learning_rate`, `discount` and `batch_size`.
        """
        if "algorithm" in settings:
            self._choose(settings.pop("algorithm"))
        if "gradient_steps_per_iteration" in settings:
            self.gradient_steps_per_iteration = settings.pop("gradient_steps_per_iteration")
        fields = self._section().model_fields
        for name in list(settings):
            key = _ALIASES.get(name, name)
            # What neither has may be a key of the problem that is still to be chosen.
            if key in fields or name not in _RLLIB_TRAINING:
                self._give(key, settings.pop(name))
        super().training(**settings)
        return self

    def update_from_dict(self, config_dict: dict[str, Any]) -> Self:
        """Set keys as a Tune `param_space` names them, the aliases of `training()` included.

        Raises:
            UserError: a key is unknown (RLlib would carry it along unread).
        """
        values = dict(config_dict)
        if "env" in values and values["env"] != self.env:
            self.environment(values.pop("env"))
        if "algorithm" in values:
            self._choose(values.pop("algorithm"))
        for alias, name in _ALIASES.items():
            # A whole configuration written out as a dictionary has both; there, RLlib's own is not read.
            if alias in values and name not in values:
                values[name] = values.pop(alias)
        fields = self._section().model_fields
        known = {*fields, *vars(self), *self.to_dict(), *values.get("given", ()), "class", "multiagent"}
        for key in values:
            # Ray adds keys of its own, which begin with an underscore.
            if key not in known and not key.startswith("_"):
                raise UserError(f"training: {key}: unknown key; {suggestion(key, fields)}")
        given = values.pop("given", None)
        for name in [name for name in values if name in fields]:
            self._give(name, values.pop(name))
        if given is not None:
            self.given = list(given)
        super().update_from_dict(values)
        return self

    def network(self, kind: str, **options: Any) -> Self:
        """Choose the network: one of `Problem.networks` or `module:Class`, and options.

        Options that are left out keep their default.
        """
        self.network_kind, self.network_options = kind, options
        return self

    def initial_weights(self, directory: str) -> Self:
        """Begin with the weights of the model in a folder, of the same network; "" for fresh ones."""
        self.start_from = directory
        return self

    def validation(self, **keys: Any) -> Self:
        """How the best weights are chosen: fields of `Problem.validation`, such as `episodes` and `every`."""
        self.validation_keys = {**self.validation_keys, **keys}
        return self

    def hyperparameters(self) -> Any:
        """The validated hyper-parameters, one of `Problem.algorithms`."""
        section = self._section()
        names = [*section.model_fields, *(name for name in self.given if name not in section.model_fields)]
        return validated(section, {name: getattr(self, name) for name in names}, "training")

    def validation_settings(self) -> ValidationSettings:
        """The validated keys of `validation()`."""
        return validated(self.problem.validation, self.validation_keys, "validation")

    def task(self) -> Task:
        """The problem with the data of `env_config`; raises `UserError` where it cannot be loaded."""
        return self.problem.load_environment(self.env, self.env_config)

    def validate(self) -> None:
        """Check every key; called when the algorithm is built.

        Raises:
            UserError: a value is out of range, or the rollouts would not run in the algorithm's own process.
        """
        problem, settings = self.problem, self.hyperparameters()
        # RLlib reads these itself, for instance for its progress table.
        self.lr, self.gamma = settings.learning_rate, settings.discount
        if settings.batch_size is not None:
            self.train_batch_size = settings.batch_size
        kind = self.network_kind or next(iter(problem.networks))
        validated(network_options(problem, kind), self.network_options, f"options of network {kind}")
        self.env_config = {**self.env_config, **problem.keywords_of(settings)}
        if self.num_env_runners and not self.in_evaluation:
            raise UserError(
                f"num_env_runners: must be 0, got {self.num_env_runners}; episodes run side by side in the "
                "algorithm's process (see lanes)"
            )
        step = self.gradient_steps_per_iteration
        if type(step) is not int or step < 1:
            raise UserError(
                f"gradient_steps_per_iteration: must be a whole number of at least 1, got {step!r}"
            )
        self.validation_settings()
        self.model = self.model | {
            "custom_model": MODEL,
            "custom_model_config": {
                "environment": self.env,
                "env_config": self.env_config,
                "kind": kind,
                "options": self.network_options,
                "seed": self.seed or 0,
                "start_from": self.start_from,
            },
        }
        super().validate()


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

    @classmethod
    def get_default_policy_class(cls, config: AlgorithmConfig) -> type[Policy] | None:
        """RLlib's DQN policy, whatever trains the network; another one where actions have several parts."""
        return FactoredPolicy if config.problem.factored_actions else ValuePolicy

    def __init__(self, config: AlgorithmConfig | dict[str, Any] | None = None, **kwargs: Any) -> None:
        register_with_ray()
        super().__init__(config, **kwargs)

    def _create_local_replay_buffer_if_necessary(self, config: AlgorithmConfig) -> None:
        """No RLlib buffer: runs have their own (and Ray 2.60 fails to build one, ray issue 60491)."""
        return None

    def setup(self, config: AlgorithmConfig) -> None:
        """Build RLlib's parts, then the training run around the policy's networks."""
        with seeding_lightly():
            super().setup(config)
        policy = self.get_policy()
        targets = getattr(policy, "target_models", {})  # DQN's policy has them
        # Not one of RLlib's attributes.
        self._scheduling_task = self.config.task()
        self.run = self._scheduling_task.begin_run(
            policy.model.network,
            self.config.hyperparameters(),
            self.config.validation_settings(),
            seed=self.config.seed or 0,
            target=next((target.network for target in targets.values()), None),
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

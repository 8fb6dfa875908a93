"""Configuration of the VM-scheduling algorithms."""

from __future__ import annotations

from typing import Any, Self

from ray.rllib.algorithms.dqn import DQNConfig

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import suggestion, validated
from spane_rllib.learning.policy_settings import ALGORITHMS, AlgorithmName, AlgorithmSettings
from spane_rllib.problems.vm_scheduling.allocations.instance import AllocationInstance
from spane_rllib.problems.vm_scheduling.environments import WAITS
from spane_rllib.problems.vm_scheduling.instance import SlotInstance
from spane_rllib.problems.vm_scheduling.networks.options import parse_options
from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance

# What RLlib users call some of them.
_ALIASES = {"lr": "learning_rate", "gamma": "discount", "train_batch_size": "batch_size"}


class VMSchedulingDQNConfig(DQNConfig):
    """Configures `VMSchedulingDQN`.

    `training(algorithm=...)` chooses `dqn` (the default), `ppo`, `a2c` or `sac`. Every field of its settings
    (`learning.policy_settings.ALGORITHMS`) is an attribute of the same name, set by `training()` (or by the
    key of that name in a Tune `param_space`). `environment(env_config=...)` takes the keyword arguments of
    `VMSchedulingEnv` or, if `scenario` is among them, of `AllocationEnv`; training and validation run on the
    trace and cluster given there.

    Example:
        >>> config = VMSchedulingDQNConfig().environment(env_config={"trace": "synthetic", "servers": 5})
        >>> config = config.training(learning_rate=0.003, gradient_steps=1000).network("spane")
        >>> algorithm = config.build_algo()
    """

    # Set by RLlib's base class, which does not declare them.
    env_config: dict[str, Any]
    model: dict[str, Any]

    def __init__(self, algo_class: type | None = None) -> None:
        from spane_rllib.rllib.algorithm import VMSchedulingDQN

        super().__init__(algo_class=algo_class or VMSchedulingDQN)
        # As a method: setting the two attributes would leave RLlib's exploration settings incomplete.
        self.api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
        self.framework("torch")
        # `TrainingRun` explores by itself; what RLlib samples is for looking at: whole greedy episodes.
        self.env_runners(num_env_runners=0, batch_mode="complete_episodes", explore=False)
        self.reporting(min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=0)
        self.environment(next(iter(WAITS)), env_config={}, disable_env_checking=True)
        # The networks output Q-values; RLlib is to add no layers, and its own replay buffer is not used.
        self.hiddens: list[int] = []
        self.dueling = False
        self.replay_buffer_config = {"type": "MultiAgentReplayBuffer", "capacity": 1}
        self.seed: int | None = 0
        self.network_kind = "spane"
        self.network_options: dict[str, Any] = {}
        self.validation_episodes = 150
        self.validation_every = 250
        self.validation_trim = 0.1
        self.validation_seed = 0
        self.gradient_steps_per_iteration = 250
        self._choose("dqn")

    def _choose(self, algorithm: AlgorithmName) -> None:
        """Take the default hyper-parameters of `algorithm`."""
        if algorithm not in ALGORITHMS:
            raise UserError(
                f"training: algorithm: unknown {algorithm!r}; {suggestion(str(algorithm), ALGORITHMS)}"
            )
        self.algorithm = algorithm
        for name, value in ALGORITHMS[algorithm]().model_dump().items():
            setattr(self, name, value)

    def training(self, **settings: Any) -> Self:
        """Set hyper-parameters: any field of the algorithm's settings, or another RLlib training key.

        `algorithm` chooses the algorithm, whose other hyper-parameters are at their defaults then.
        `gradient_steps_per_iteration` is the number of gradient steps of one `train()` call; `lr`, `gamma`
        and `train_batch_size` mean `learning_rate`, `discount` and `batch_size`.
        """
        if "algorithm" in settings:
            self._choose(settings.pop("algorithm"))
        own, hyperparameters = {}, ALGORITHMS[self.algorithm].model_fields
        for name in list(settings):
            key = _ALIASES.get(name, name)
            if key in hyperparameters or key == "gradient_steps_per_iteration":
                own[key] = settings.pop(name)
        try:
            super().training(**settings)
        except TypeError as error:
            unknown = next((name for name in settings if f"'{name}'" in str(error)), None)
            if unknown is None:
                raise
            raise UserError(
                f"training: {unknown}: unknown key; {suggestion(unknown, hyperparameters)}"
            ) from error
        for key, value in own.items():
            setattr(self, key, value)
        return self

    def update_from_dict(self, config_dict: dict[str, Any]) -> Self:
        """Set keys as a Tune `param_space` names them, the aliases of `training()` included.

        Raises:
            UserError: a key is unknown (RLlib would carry it along unread).
        """
        values = dict(config_dict)
        if "algorithm" in values:
            self._choose(values.pop("algorithm"))
        for alias, name in _ALIASES.items():
            # A whole configuration written out as a dictionary has both; there, RLlib's own is not read.
            if alias in values and name not in values:
                values[name] = values.pop(alias)
        known = {*vars(self), *self.to_dict(), "class", "multiagent"}
        for key in values:
            # Ray adds keys of its own, which begin with an underscore.
            if key not in known and not key.startswith("_"):
                hint = suggestion(key, ALGORITHMS[self.algorithm].model_fields)
                raise UserError(f"training: {key}: unknown key; {hint}")
        super().update_from_dict(values)
        return self

    def network(self, kind: str, **options: Any) -> Self:
        """Choose the network: its kind (`spane` or `mlp`) and options (those left out keep their default)."""
        parse_options(kind, options)
        self.network_kind, self.network_options = kind, options
        return self

    def validation(
        self,
        *,
        episodes: int | None = None,
        every: int | None = None,
        trim: float | None = None,
        seed: int | None = None,
    ) -> Self:
        """How the best weights are chosen.

        Args:
            episodes: greedy episodes from the validation split.
            every: gradient steps between validations.
            trim: share of episodes dropped at each end of the mean total wait.
            seed: decides their starts; keep it the same for all runs that are compared.
        """
        for name, value in (("episodes", episodes), ("every", every), ("trim", trim), ("seed", seed)):
            if value is not None:
                setattr(self, f"validation_{name}", value)
        return self

    def hyperparameters(self) -> AlgorithmSettings:
        """The validated hyper-parameters."""
        section = ALGORITHMS[self.algorithm]
        values = {name: getattr(self, name) for name in section.model_fields}
        settings: AlgorithmSettings = validated(section, values, "training")
        return settings

    def scenario(self) -> SlotInstance:
        """Trace, cluster and splits of `env_config`."""
        problem = AllocationInstance if "scenario" in self.env_config else WaitInstance
        return problem(**self.env_config)

    def validate(self) -> None:
        """Check every key; called when the algorithm is built.

        Raises:
            UserError: a value is out of range, or the rollouts would not run in the algorithm's own process.
        """
        settings = self.hyperparameters()
        # RLlib reads these itself, for instance for its progress table.
        self.lr, self.gamma = settings.learning_rate, settings.discount
        if settings.batch_size is not None:
            self.train_batch_size = settings.batch_size
        parse_options(self.network_kind, self.network_options)
        self.env_config = {**self.env_config, "reward": settings.reward}
        if self.num_env_runners and not self.in_evaluation:
            raise UserError(
                f"num_env_runners: must be 0, got {self.num_env_runners}; episodes run side by side in the "
                "algorithm's process (see lanes)"
            )
        for name, least in (
            ("gradient_steps_per_iteration", 1),
            ("validation_episodes", 1),
            ("validation_every", 1),
            ("validation_seed", 0),
        ):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise UserError(f"{name}: must be a whole number of at least {least}, got {value!r}")
        if not 0 <= self.validation_trim < 0.5:
            raise UserError(
                f"validation_trim: must be at least 0 and below 0.5, got {self.validation_trim!r}"
            )
        self.model = self.model | {
            "custom_model": self.network_kind,
            "custom_model_config": {"options": self.network_options, "seed": self.seed or 0},
        }
        super().validate()

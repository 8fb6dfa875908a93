"""Environments as agents of other libraries see them."""

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import spane_rllib  # noqa: F401  # registers the environments
from spane_rllib.core.errors import UserError
from spane_rllib.problems.registry import find_problem
from spane_rllib.problems.vm_scheduling.environments import ALLOCATIONS, WAITS
from spane_rllib.problems.vm_scheduling.simulator import Heuristic, run_heuristic
from spane_rllib.wrappers import FLAT, MASK, FlatObservation

TRACE = "synthetic:vms=2000"
WAITING = next(iter(WAITS))
OF_ONE_SLOT = [name for name in (*WAITS, *ALLOCATIONS) if "VMChoice" not in name]


@pytest.mark.parametrize("name", OF_ONE_SLOT)
@pytest.mark.parametrize("mask", [True, False])
def test_flat_observations(name: str, mask: bool) -> None:
    env = gymnasium.make(name, trace=TRACE, infeasible_action="first_fit")
    flat = FlatObservation(env, mask=mask)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*different from the unwrapped version")
        check_env(flat, skip_render_check=True, skip_close_check=True)
    observation, _ = flat.reset(seed=0)
    inner = env.unwrapped._observe()  # type: ignore[attr-defined]
    assert (flat.action_masks() == (inner[MASK] == 1)).all()
    values = observation[FLAT] if mask else observation
    expected = np.concatenate([inner["request"].ravel(), inner["servers"].ravel()])
    np.testing.assert_array_equal(np.sort(values), np.sort(expected))
    if mask:
        assert (observation[MASK] == inner[MASK]).all()


def test_flat_observations_of_another_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "examples"))
    from bin_packing.environment import BinPackingEnv

    flat = FlatObservation(BinPackingEnv(items=5))
    observation, _ = flat.reset(seed=0)
    assert flat.observation_space.contains(observation)
    assert flat.action_masks().tolist() == observation[MASK].astype(bool).tolist()


@pytest.mark.parametrize("name", find_problem("pod_migration").environments)
def test_pods(name: str) -> None:
    env = gymnasium.make(name)
    flat = FlatObservation(env)
    observation, _ = flat.reset(seed=0)
    assert flat.observation_space.contains(observation)
    assert (flat.action_masks() == env.get_wrapper_attr("action_masks")()).all()


def test_what_cannot_be_flattened() -> None:
    with pytest.raises(UserError, match="needs a Dict observation with 'action_mask'"):
        FlatObservation(gymnasium.make("CartPole-v1"))


@pytest.mark.parametrize("name", OF_ONE_SLOT)
def test_check_env_of_every_id_as_it_is(name: str) -> None:
    env = gymnasium.make(name, trace=TRACE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)


def test_first_fit_in_place_of_what_is_infeasible() -> None:
    """An agent that always names a slot that is not there plays First Fit, alone and in lanes."""
    keywords: dict[str, Any] = {"trace": TRACE, "servers": 1, "infeasible_action": "first_fit"}
    env = gymnasium.make(WAITING, **keywords)
    _, info = env.reset(seed=3)
    ended = False
    while not ended:
        masks = env.get_wrapper_attr("action_masks")()
        assert masks.any() and masks.dtype == bool
        observation, _, terminated, truncated, info = env.step(99)
        ended = terminated or truncated
        assert (env.get_wrapper_attr("action_masks")() == observation[MASK]).all()
    instance = env.unwrapped.instance  # type: ignore[attr-defined]
    run = run_heuristic(
        instance.workload, instance.cluster, Heuristic("first-fit"), [info["start"]], [info["vm_count"]]
    )
    assert info["total_wait"] == run.total_wait[0] > 0
    envs = gymnasium.make_vec(WAITING, 2, vectorization_mode="vector_entry_point", **keywords)
    envs.reset(seed=3)
    actions = np.array([99, -1])
    for _ in range(info["vm_count"]):
        _, _, terminated, _, infos = envs.step(actions)
        if terminated[0]:
            break
    assert terminated[0] and infos["total_wait"][0] == info["total_wait"]
    assert actions.tolist() == [99, -1]  # those given are left alone
    assert envs.unwrapped.action_masks().shape == (2, 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [WAITING, "spane_rllib/Fading-v0"])
def test_the_nearest_keyword(name: str) -> None:
    with pytest.raises(UserError, match=r"'server' is not known; allowed are .*; did you mean servers\?"):
        gymnasium.make(name, trace=TRACE, server=5)
    with pytest.raises(UserError, match=r"did you mean servers\?"):
        gymnasium.make_vec(name, 2, vectorization_mode="vector_entry_point", trace=TRACE, server=5)

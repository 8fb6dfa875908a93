import pytest

from spane_rllib.learning.schedules import LinearSchedule, StepDecay


@pytest.mark.parametrize(
    ("update", "epsilon"), [(0, 0.6), (1250, 0.45), (2500, 0.3), (5000, 0.0), (9000, 0.0)]
)
def test_epsilon_falls_on_a_line_and_stays(update: int, epsilon: float) -> None:
    assert LinearSchedule(0.6, 0.0, 5000)(update) == pytest.approx(epsilon, abs=1e-15)


def test_no_steps_means_the_final_value_at_once() -> None:
    assert LinearSchedule(0.6, 0.1, 0)(0) == 0.1


@pytest.mark.parametrize(
    ("update", "rate"), [(0, 0.01), (99, 0.01), (100, 0.0099), (199, 0.0099), (200, 0.009801)]
)
def test_step_decay_changes_only_at_multiples(update: int, rate: float) -> None:
    assert StepDecay(0.01, 0.99, 100)(update) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("update", "rate"), [(0, 1.0), (19, 0.5), (29, 0.25), (30, 1.0), (45, 0.5), (60, 1.0)]
)
def test_step_decay_begins_anew(update: int, rate: float) -> None:
    assert StepDecay(1.0, 0.5, 10, restart=30)(update) == rate

"""The figures of an experiment show the numbers of its tables, and leave out what there are none of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from experiment_tables import HEURISTICS, make_curves, make_episodes, make_trials
from matplotlib.figure import Figure

from spane_rllib.core.errors import UserError
from spane_rllib.core.plotting import panels, save, write_plainly
from spane_rllib.experiments.reports.figures import experiment_figures
from spane_rllib.problems.registry import find_problem

NONE = pd.DataFrame()
PROBLEM = find_problem("vm_scheduling")


def figures(
    trials: pd.DataFrame, curves: pd.DataFrame = NONE, episodes: pd.DataFrame = NONE
) -> dict[str, Figure]:
    found = dict(experiment_figures(PROBLEM.measure, trials, curves))
    if len(episodes):
        blocks = PROBLEM.report(episodes, PROBLEM.summarize(episodes), trials)
        found |= dict(block for block in blocks if isinstance(block, tuple))
    return found


def draw_figures(
    folder: Path, trials: pd.DataFrame, curves: pd.DataFrame, episodes: pd.DataFrame
) -> list[Path]:
    drawn = figures(trials, curves, episodes)
    return [save(figure, folder / f"{name}.png") for name, figure in drawn.items()]


def episodes_of(waits: dict[str, list[float]], bound: float = 1.0) -> pd.DataFrame:
    episodes = make_episodes(list(waits), count=len(next(iter(waits.values()))))
    episodes["total_wait_s"] = np.concatenate(list(waits.values()))
    episodes["lower_bound_s"] = bound
    return episodes


def test_only_complete_png_files_are_left(tmp_path: Path) -> None:
    trials = make_trials({"spane": 6, "mlp": 4})
    episodes = make_episodes([*HEURISTICS, "spane-0000", "mlp-0001"], (2, 5, 9))
    written = draw_figures(tmp_path / "new", trials, make_curves(trials), episodes)
    assert [path.name for path in written] == [
        "hyperparameters_spane.png",
        "hyperparameters_mlp.png",
        "training_curves.png",
        "wait_distribution.png",
        "trimmed_means.png",
    ]
    papers = [path.with_suffix(".pdf") for path in written]
    assert sorted((tmp_path / "new").iterdir()) == sorted([*written, *papers])
    assert all(path.read_bytes().startswith(b"%PDF") for path in papers)
    for path in written:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n") and content.endswith(b"IEND\xaeB`\x82")
        width = int.from_bytes(content[16:20])
        assert 900 < width < 2600, "readable on a laptop's screen"


def test_neither_ray_nor_pyplot_is_loaded() -> None:
    code = (
        "import sys, spane_rllib.experiments.reports.figures, spane_rllib.experiments.reports.report;"
        "print([name for name in ('ray', 'torch', 'matplotlib.pyplot') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"


def test_what_has_no_data_is_not_drawn() -> None:
    trials = make_trials({"mlp": 1})
    assert figures(trials) == {}
    diverged = make_curves(trials).assign(validation_wait_s=np.nan)
    assert figures(trials, diverged) == {}


def test_each_searched_hyperparameter_has_a_panel_with_every_trial_that_was_validated() -> None:
    trials = make_trials({"mlp": 30, "spane": 5})
    trials.loc[:3, "best_validation_wait_s"] = [np.nan, np.inf, 5e4, 6e4]
    trials.loc[:3, "rank"] = np.nan
    panels = figures(trials)["hyperparameters_mlp"].axes
    # depth is the same for all, and aggregations belong to the other method
    assert {axis.get_xlabel() for axis in panels} == {
        "options.width",
        "training.learning_rate",
        "training.double_q",
    }
    for axis in panels:
        assert sum(len(points.get_offsets()) for points in axis.collections) == 28
        assert axis.get_yscale() == "log"
    scales = {axis.get_xlabel(): axis.get_xscale() for axis in panels}
    assert scales["training.learning_rate"] == "log" and scales["options.width"] == "linear"


def test_learning_curves_have_the_best_baselines_as_lines() -> None:
    trials = make_trials({"spane": 3, "mlp": 2})
    found = dict(
        experiment_figures(
            PROBLEM.measure,
            trials,
            make_curves(trials),
            {"random": 9e5, "first-fit": 7e4, "keep-64": 5e4, "sbf": 6e4},
        )
    )
    figure = found["training_curves"]
    for axis in figure.axes:
        levels = [line.get_ydata()[0] for line in axis.lines if len(line.get_ydata()) == 2]
        assert levels == [5e4, 6e4, 7e4]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()][-3:] == ["keep-64", "sbf", "first-fit"]


def test_the_median_line_runs_through_equal_groups_of_trials() -> None:
    trials = make_trials({"mlp": 10})
    trials = trials[[name for name in trials if not name.startswith(("options.", "training."))]]
    trials["training.discount"] = np.arange(10) / 20
    trials["best_validation_wait_s"] = [5.0, 1, 3, 2, 4, 10, 30, 20, 50, 40]
    [axis] = figures(trials)["hyperparameters_mlp"].axes
    [line] = axis.lines
    assert line.get_xydata() == pytest.approx(np.array([[0.1, 3], [0.35, 30]]))


def test_an_unset_option_is_a_value_like_any_other() -> None:
    trials = make_trials({"mlp": 6})
    trials = trials[[name for name in trials if not name.startswith(("options.", "training."))]]
    trials["training.grad_clip"] = [1, None, 10, None, 10, None]
    trials["training.loss"] = ["mse", "huber", "mse", "mse", "mse", "mse"]
    clip, loss = figures(trials)["hyperparameters_mlp"].axes
    assert [label.get_text() for label in clip.get_xticklabels()] == ["1", "10", "none"]
    assert [len(points.get_offsets()) for points in clip.collections] == [1, 2, 3]
    assert [label.get_text() for label in loss.get_xticklabels()] == ["huber", "mse"]


def test_training_curves_have_a_line_per_trial_and_stress_the_best() -> None:
    trials = make_trials({"spane": 5, "mlp": 3})
    curves = make_curves(trials)
    spane, mlp = figures(trials, curves)["training_curves"].axes
    assert [len(axis.lines) for axis in (spane, mlp)] == [5 + 1, 3 + 1]  # and the median
    [best] = [line for line in mlp.lines if line.get_linewidth() > 1.5]
    name = trials.loc[(trials["method"] == "mlp") & (trials["rank"] == 1), "trial"].item()
    assert list(best.get_ydata()) == list(curves.loc[curves["trial"] == name, "validation_wait_s"])
    assert spane.lines[0].get_color() != mlp.lines[0].get_color()


def test_a_validation_without_any_wait_can_be_drawn() -> None:
    trials = make_trials({"spane": 3})
    curves = make_curves(trials)
    curves.iloc[-1, curves.columns.get_loc("validation_wait_s")] = 0.0
    [axis] = figures(trials, curves)["training_curves"].axes
    assert axis.get_yscale() == "symlog"


def test_trimmed_means_are_the_lengths_of_the_bars_best_on_top() -> None:
    waits = {"first-fit": [1.0] * 9 + [5000], "mlp-0000": [0.0] + [8.0] * 8 + [9], "keep-64": [2.0] * 10}
    [axis] = figures(make_trials({"mlp": 1}), episodes=episodes_of(waits))["trimmed_means"].axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["first-fit", "keep-64", "mlp-0000"]
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([1, 2, 8])
    assert axis.yaxis_inverted()
    first_fit, keep_64, learned = (bar.get_facecolor() for bar in axis.patches)
    assert first_fit == keep_64 != learned
    [bound] = axis.lines
    assert list(bound.get_xdata()) == [1, 1]


def test_a_policy_far_off_does_not_squeeze_the_others_but_keeps_its_number() -> None:
    waits = {"first-fit": [10.0] * 4, "best-fit": [12.0] * 4, "random": [123_456.0] * 4}
    [axis] = figures(make_trials({"mlp": 1}), episodes=episodes_of(waits))["trimmed_means"].axes
    assert axis.get_xlim()[1] < 100
    assert axis.texts[2].get_text().startswith("123,456")


def test_wait_distribution_shows_quartiles_the_share_without_wait_and_the_bound() -> None:
    waits = {"first-fit": [0.0, 0, 2000, 4000, 6000], "best-fit": [3000.0] * 5}
    episodes = episodes_of(waits, bound=7.0)
    [axis] = figures(make_trials({"mlp": 1}), episodes=episodes)["wait_distribution"].axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["first-fit", "best-fit", "lower bound"]
    quartiles = [[x for x, _ in lines.get_segments()[0]] for lines in axis.collections[1::2]]
    assert quartiles == [[0, 4000], [3000, 3000], [7, 7]]
    assert [text.get_text() for text in axis.texts] == ["40%", "0%", "0%", "zero"]
    assert axis.get_xlim()[0] < 0 and axis.get_xscale() == "symlog"


def test_policies_are_drawn_only_where_they_were_evaluated(tmp_path: Path) -> None:
    episodes = make_episodes(["first-fit", "mlp-0000"], (2, 5))
    episodes = episodes[(episodes["servers"] == 5) | (episodes["policy"] == "first-fit")]
    two, five = figures(make_trials({"mlp": 1}), episodes=episodes)["trimmed_means"].axes
    assert (two.get_title(), len(two.patches)) == ("2 servers", 1)
    assert (five.get_title(), len(five.patches)) == ("5 servers", 2)


def test_waits_of_zero_everywhere_can_be_drawn(tmp_path: Path) -> None:
    episodes = episodes_of({"first-fit": [0.0] * 3}, bound=0.0)
    assert len(draw_figures(tmp_path, make_trials({"mlp": 1}), NONE, episodes)) == 2


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        draw_figures(tmp_path / "file", make_trials({"mlp": 4}), NONE, NONE)


def test_names_are_no_formulas(tmp_path: Path) -> None:
    name = "$\\frac$_{"
    trials = make_trials({name: 6})
    episodes = make_episodes([*HEURISTICS, f"{name}-0000"], (2, 5))
    drawn = figures(trials, make_curves(trials), episodes)
    assert len(drawn) > 3
    for figure in drawn.values():
        save(figure, tmp_path / "figure.png")


def test_powers_of_ten_remain_formulas() -> None:
    figure, (axis,) = panels(1, 1, 4, 3)
    axis.set_xscale("log")
    axis.set_title("$")
    write_plainly(figure)
    assert all(label.get_parse_math() for label in axis.get_xticklabels())
    assert not axis.title.get_parse_math()

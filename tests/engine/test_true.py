"""Small experiments at random train to what plain torch trains to, and to the same bits when they are stopped twice."""

from __future__ import annotations

import ast
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaigns.small.draw import CHOICES, Experiment, coverage, draw, shrink
from campaigns.small.judge import against_plain, judge
from campaigns.small.mistakes import MISTAKES, refusal

CAMPAIGNS = Path(__file__).parents[1] / "campaigns"
# Chosen so that each value of each choice is among them; after another value was added, choose anew.
SEEDS = (
    3, 16, 27, 73, 110, 112, 148, 320, 739, 817, 892, 919, 934, 1078, 1285, 1852, 2408, 2409, 2593, 2646, 2713, 2874,
    2952, 3519, 3658, 3763,
)  # fmt: skip


# What oneDNN says where a processor lacks the instructions for a layer in half precision: torch alone ends alike.
NO_KERNEL = "could not create a primitive descriptor"


@pytest.mark.parametrize("seed", SEEDS)
def test_an_experiment_trains_as_plain_torch_does_and_two_stops_change_nothing(seed: int) -> None:
    """What differs names itself; `shrink` makes the experiment as plain as it can be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            differs = judge(draw(seed)).differs
        except RuntimeError as error:
            if NO_KERNEL not in str(error):
                raise
            pytest.skip(f"torch on this processor: {error}")
        assert differs == []


def test_these_try_each_value_of_each_choice() -> None:
    tried = coverage(map(draw, SEEDS))

    left_out = {(name, value) for name, values in CHOICES.items() for value in values if value not in tried[name]}
    assert left_out == set()
    assert "metric" in tried["interval"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_before_a_parameter_changes(tmp_path: Path, mistake: str) -> None:
    assert refusal(Experiment(), mistake, tmp_path) == ""


def test_a_seed_draws_the_same_experiment_each_time() -> None:
    assert [draw(seed) for seed in range(20)] == [draw(seed) for seed in range(20)]


def test_a_wrong_experiment_is_made_as_plain_as_it_can_be() -> None:
    drawn = next(each for each in map(draw, range(100)) if each.optimizer == "Adam" and each.clip == 0.5)

    small = shrink(drawn, lambda tried: tried.optimizer == "Adam" and tried.clip == 0.5)

    assert small == Experiment(seed=drawn.seed, optimizer="Adam", clip=0.5)


def test_the_loop_that_it_is_held_against_knows_nothing_of_otrainer() -> None:
    for path in (CAMPAIGNS / "plain").glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        modules = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
        modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        assert not [name for name in modules if name.startswith(("otrainer", "support", "campaigns.small"))], path


@pytest.mark.parametrize(
    "otherwise",
    [
        {"clip": 0.05},
        {"accumulate": 2},
        {"optimizer": "SGD with momentum"},
        {"scheduler": "StepLR", "interval": "step"},
        {"groups": "head alone"},
        {"callback": "freezes"},
        {"precision": "bf16-mixed"},
        {"loss_by": "a number", "loss": "MSE, a sum"},
        {"validate_every": 2},
        {"metrics": "sums"},
    ],
    ids=str,
)
def test_plain_torch_that_trains_otherwise_is_told_from_it(tmp_path: Path, otherwise: dict[str, Any]) -> None:
    drawn = Experiment(epochs=3, samples=19)

    differs, _ = against_plain(drawn, tmp_path, replace(drawn, **otherwise))

    assert differs

"""Small experiments at random train to what plain torch trains to, and to the same bits when they are stopped twice."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from campaigns.small.draw import Experiment, draw
from campaigns.small.judge import judge

CAMPAIGNS = Path(__file__).parents[1] / "campaigns"


@pytest.mark.parametrize("drawn", [Experiment(), Experiment(seed=1, loader="data.dataset", samples=19)], ids=str)
def test_an_experiment_trains_as_plain_torch_does_and_a_stop_changes_nothing(drawn: Experiment) -> None:
    assert judge(drawn).differs == []


def test_a_seed_draws_the_same_experiment_each_time() -> None:
    assert [draw(seed) for seed in range(20)] == [draw(seed) for seed in range(20)]


def test_what_it_is_held_against_knows_nothing_of_otrainer() -> None:
    for path in (CAMPAIGNS / "plain").glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        modules = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
        modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        assert not [name for name in modules if name.startswith(("otrainer", "support", "campaigns.small"))], path

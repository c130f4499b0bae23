"""Torch's compiler is loaded where somebody compiles, and not for optimizers, which come to the same without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from otrainer.engine.bare_step import BareStep
from otrainer.engine.compiler import off_the_compiler

TESTS = Path(__file__).parent.parent
SPECIAL = ("Optimizer", "LBFGS", "SparseAdam")  # these want gradients of other kinds, or a closure
OPTIMIZERS = sorted(name for name, each in vars(torch.optim).items() if isinstance(each, type) and name not in SPECIAL)

# One process takes all four ways in this order, and says after each whether the compiler is loaded.
IN_TURN = """
import json, sys
from engine.test_compiler import OPTIMIZERS, stepped, stepped_alone
from support import Batches, fit, random_batches, small_model

def is_loaded():
    return "torch._dynamo" in sys.modules

def train(**run):
    fit(small_model(), Batches(random_batches(2)), optimizer={"type": "optim_cls.AdamW"}, run=run)
    return is_loaded()

alone, after = [stepped_alone(name) for name in OPTIMIZERS], [is_loaded(), train(), train(compile={"backend": "eager"})]
whole = [stepped(name) for name in OPTIMIZERS]
print(json.dumps([after, [name for name, one, two in zip(OPTIMIZERS, alone, whole) if not one.equal(two)]]))
"""


def stepped(name: str) -> torch.Tensor:
    """Return the parameters of an optimizer after steps, and a state that was put back."""
    optimizer = begun(name)
    for _ in range(3):
        optimizer.zero_grad()
        give_gradients(optimizer)
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
    return parameters(optimizer)


def stepped_alone(name: str) -> torch.Tensor:
    """Return the same, as otrainer does it."""
    with off_the_compiler():
        optimizer = begun(name)
    step = BareStep(optimizer)
    for _ in range(3):
        with off_the_compiler():
            optimizer.zero_grad()
        give_gradients(optimizer)
        step()
        with off_the_compiler():
            optimizer.load_state_dict(optimizer.state_dict())
    return parameters(optimizer)


def begun(name: str) -> torch.optim.Optimizer:
    values = [torch.nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]])) for _ in range(2)]
    optimizer = getattr(torch.optim, name)(values[:1], lr=0.1)
    optimizer.add_param_group({"params": values[1:], "lr": 0.01})
    return optimizer


def give_gradients(optimizer: torch.optim.Optimizer) -> None:
    sum(group["params"][0].square().sum() for group in optimizer.param_groups).backward()


def parameters(optimizer: torch.optim.Optimizer) -> torch.Tensor:
    return torch.cat([group["params"][0].detach() for group in optimizer.param_groups])


@pytest.fixture(scope="module")
def said() -> tuple[list[bool], list[str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    done = subprocess.run([sys.executable, "-c", IN_TURN], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after, otherwise = json.loads(done.stdout.splitlines()[-1])
    return after, otherwise


def test_each_optimizer_gives_the_same_bits_without_it(said: tuple[list[bool], list[str]]) -> None:
    assert len(OPTIMIZERS) > 12
    assert said[1] == []


def test_it_is_loaded_by_a_training_that_is_compiled_and_by_no_other(said: tuple[list[bool], list[str]]) -> None:
    by_optimizers, by_training, by_compiled = said[0]

    assert (by_optimizers, by_training, by_compiled) == (False, False, True)


@pytest.mark.parametrize("name", ["add_param_group", "zero_grad", "state_dict", "load_state_dict"])
def test_once_it_is_loaded_optimizers_are_hidden_from_it(name: str) -> None:
    import torch._dynamo

    function = getattr(torch.optim.Optimizer, name).__wrapped__
    before = dict(vars(function))
    with off_the_compiler():
        assert vars(function) == before

"""Torch's compiler is loaded where somebody compiles, and not for optimizers, which come to the same without it."""

from __future__ import annotations

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

ALONE_AND_WHOLE = """
import sys
from engine.test_compiler import OPTIMIZERS, stepped, stepped_alone
alone = [stepped_alone(name) for name in OPTIMIZERS]
print("torch._dynamo" in sys.modules)
whole = [stepped(name) for name in OPTIMIZERS]
print("torch._dynamo" in sys.modules)
print([name for name, one, two in zip(OPTIMIZERS, alone, whole) if not one.equal(two)])
"""
TRAIN = """
import sys
from support import Batches, fit, random_batches, small_model
fit(small_model(), Batches(random_batches(2)), optimizer={"type": "optim_cls.AdamW"}, run=%s)
print("torch._dynamo" in sys.modules)
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


def printed(code: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_each_optimizer_gives_the_same_bits_without_it_and_loads_it_when_it_is_called_as_ever() -> None:
    assert len(OPTIMIZERS) > 12
    assert printed(ALONE_AND_WHOLE) == ["False", "True", "[]"]


def test_a_training_does_not_load_it() -> None:
    assert printed(TRAIN % "{}")[-1] == "False"


def test_a_training_that_is_compiled_loads_it() -> None:
    assert printed(TRAIN % "{'compile': {'backend': 'eager'}}")[-1] == "True"


@pytest.mark.parametrize("name", ["add_param_group", "zero_grad", "state_dict", "load_state_dict"])
def test_once_it_is_loaded_optimizers_are_hidden_from_it(name: str) -> None:
    import torch._dynamo

    function = getattr(torch.optim.Optimizer, name).__wrapped__
    before = dict(vars(function))
    with off_the_compiler():
        assert vars(function) == before

"""The page for plugin writers: what it loads, what is the same object elsewhere, and whom type checkers accept."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from otrainer import protocols
from otrainer.components import io, loss, sched
from otrainer.engine.data import loader
from otrainer.engine.state import RunContext
from otrainer.errors import ConfigError
from otrainer.registry import KNOWN_HOOKS, Registry
from otrainer.registry.contracts import CONTRACTS

# Reading torch, and all that trains, takes a minute.
ALONE = "[mypy]\n[mypy-torch.*,otrainer.experiment,otrainer.stages.*]\nfollow_imports = skip\n"
HEAD = """
from collections.abc import Iterable, Mapping
from typing import Any
import torch
from otrainer import protocols
from otrainer.protocols import ArgsKwargs, LossOutput, SchedulerBundle
"""
PLUGIN = """
class Data(protocols.DataModule):
    def train_dataloader(self) -> list[float]:
        return [1.0]
    def files(self) -> list[str]:
        return []
class Split:
    def split(self, batch: float, *, stage: str) -> tuple[ArgsKwargs, float, None]:
        return ArgsKwargs((batch,)), batch, None
    def example_batch(self) -> float:
        return 1.0
class Error:
    def __call__(self, *, outputs: Any, targets: float, batch: Any, stage: str) -> LossOutput:
        return LossOutput(outputs - targets, {"n": 1})
class Optimizers:
    def build(self, net: Any, *, registry: protocols.Registry) -> Any:
        return registry.get_module("optim_cls.SGD").target(net.parameters())
class Schedules:
    def build(self, optimizer: Any, *, registry: protocols.Registry) -> SchedulerBundle:
        return SchedulerBundle(None, interval="step")
class Stop(protocols.Callback):
    runs_last = True
    def on_epoch_end(self, context: protocols.Context) -> None:
        context.should_stop = context.state.epoch > context.run.seed
class Lines(protocols.Logger):
    def log_metrics(self, row: Mapping[str, float], *, step: int, stage: str) -> None:
        print(row, step, stage)
class Mean(protocols.Metric):
    def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
        self.value = float(outputs)
    def compute(self) -> float:
        return self.value
data: protocols.DataModule = Data()
files: protocols.DeclaresFiles = Data()
split: protocols.IO = Split()
error: protocols.Loss = Error()
optimizers: protocols.OptimizerFactory = Optimizers()
schedules: protocols.SchedulerFactory = Schedules()
parts: tuple[protocols.Callback, protocols.Logger, protocols.Metric] = (Stop(), Lines(), Mean())
"""


def typed(text: str, tmp_path: Path) -> str:
    """What mypy says of a module."""
    (tmp_path / "mypy.ini").write_text(ALONE)
    (tmp_path / "plugin.py").write_text(HEAD + text)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "plugin.py"]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300).stdout


def test_the_page_loads_one_module_and_no_torch() -> None:
    code = "import sys, otrainer.protocols; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = result.stdout.split()

    assert [name for name in loaded if name.startswith("otrainer")] == ["otrainer", "otrainer.protocols"]
    assert "torch" not in loaded


def test_the_earlier_paths_hold_the_same_objects() -> None:
    assert io.ArgsKwargs is protocols.ArgsKwargs
    assert loss.LossOutput is protocols.LossOutput
    assert sched.SchedulerBundle is protocols.SchedulerBundle
    assert loader.EpochLoader is protocols.EpochLoader
    assert KNOWN_HOOKS == protocols.HOOKS


def test_a_small_typed_plugin_fits_the_protocols(tmp_path: Path) -> None:
    assert typed(PLUGIN, tmp_path) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("tuple[ArgsKwargs, float, None]:", "ArgsKwargs:", '"IO"'),
        ("*, outputs: Any, targets: float,", "*, outputs: Any,", '"Loss"'),
        ("step: int, stage: str) -> None", "stage: str) -> None", 'protocols.Logger"'),
        ("context.run.seed", "context.run.sed", '"Run" has no attribute "sed"'),
    ],
)
def test_a_plugin_that_does_not_fit_is_refused_by_mypy(right: str, wrong: str, told: str, tmp_path: Path) -> None:
    assert told in typed(PLUGIN.replace(right, wrong), tmp_path)


def test_what_is_inherited_does_nothing_and_what_is_needed_is_still_missing() -> None:
    class Data(protocols.DataModule):
        def train_dataloader(self) -> list[int]:
            return []

    class Nothing(protocols.IO):
        pass

    assert (Data().setup("fit"), Data().val_dataloader(), Data().example_batch()) == (None, None, None)
    Registry().register_module("data.fine", Data)
    with pytest.raises(ConfigError, match="`Nothing` has no `split`, which an IO component needs"):
        Registry().register_module("io.nothing", Nothing)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.prefix)
def test_every_method_of_a_protocol_is_checked_when_a_class_registers(contract) -> None:
    """A class whose methods take nothing is refused for each that is given something, in the protocol's order."""
    methods = {method.name: lambda self: None for method in contract.methods}
    given = [method.name for method in contract.methods if method.positional or method.keywords]
    with pytest.raises(ConfigError) as caught:
        Registry().register_module(f"{contract.prefix}x", type("X", (), methods))

    assert [finding.message.split("`")[3].partition("(")[0] for finding in caught.value.findings] == [
        f"X.{name}" for name in given
    ]


def test_a_run_s_context_has_all_that_callbacks_may_rely_on() -> None:
    promised = {name for name in vars(protocols.Context) if name[0] != "_"} | set(
        inspect.get_annotations(protocols.Context)
    )

    properties = {name for name, member in vars(RunContext).items() if isinstance(member, property)}
    assert promised <= {part.name for part in fields(RunContext)} | properties

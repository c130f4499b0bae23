"""The keys that come with otrainer, as tables of strings: nothing is imported before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from otrainer.registry.core import ModuleEntry, OpEntry, Policy, Registry
from otrainer.registry.torch_names import NN_MODULES, OPEN_SIGNATURES, OPTIMIZERS, SCHEDULERS

COMPONENTS = (
    ("trainer.default", "engine.trainer:DefaultTrainer", "trainer"),
    ("data.random_regression", "components.data.random_regression:RandomRegressionDataModule", "data"),
    ("data.dataset", "components.data.dataset:DatasetDataModule", "data"),
    ("dataset.arrays", "components.data.arrays:ArraysDataset", "dataset"),
    ("io.mapping", "components.io:MappingIO", "io"),
    ("loss.torch", "components.loss:TorchLoss", "loss"),
    ("optim_factory.torch", "components.optim:TorchOptimizerFactory", "optim"),
    ("sched_factory.torch", "components.sched:TorchSchedulerFactory", "sched"),
    ("cb.model_checkpoint", "components.callbacks.model_checkpoint:ModelCheckpoint", "callback"),
    ("cb.early_stopping", "components.callbacks.early_stopping:EarlyStopping", "callback"),
    ("log.stdout", "components.loggers.stdout:StdoutLogger", "logger"),
    ("log.json_lines", "components.loggers.json_lines:JsonLinesLogger", "logger"),
    ("metric.torchmetrics", "components.metrics:TorchMetric", "metric"),
    ("tensor", "components.tensors:tensor", "value"),
    ("mlp", "components.blocks:mlp", "block"),
    ("conv_bn_act", "components.blocks:conv_bn_act", "block"),
    ("residual_block", "components.blocks:residual_block", "block"),
)
OPS = ("add", "mul", "cat", "stack", "getitem", "identity")


def build_registry() -> Registry:
    """A new registry with all built-in keys and ops."""
    return Registry(*builtins())


@cache
def builtins() -> tuple[tuple[ModuleEntry, ...], tuple[OpEntry, ...]]:
    return tuple(builtin_modules()), tuple(builtin_ops())


def builtin_modules() -> Iterator[ModuleEntry]:
    for key, target, tag in COMPONENTS:
        yield ModuleEntry(key, f"otrainer.{target}", tags=(tag,))
    for name in NN_MODULES:
        yield ModuleEntry(f"nn.{name}", f"torch.nn:{name}", policy_of(name), ("torch.nn",))
    for name in OPTIMIZERS:
        yield ModuleEntry(f"optim_cls.{name}", f"torch.optim:{name}", tags=("torch.optim", "optim_cls"))
    for name, module in SCHEDULERS:
        yield ModuleEntry(f"sched_cls.{name}", f"{module}:{name}", tags=(module, "sched_cls"))


def policy_of(name: str) -> Policy:
    return "best_effort" if name in OPEN_SIGNATURES else "strict"


def builtin_ops() -> Iterator[OpEntry]:
    for name in OPS:
        yield OpEntry(name, f"otrainer.components.ops:{name}")

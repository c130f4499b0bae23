"""The tables of built-in keys against the torch that is installed."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler, swa_utils

from otrainer.errors import ConfigError
from otrainer.registry import build_registry
from otrainer.registry.builtins import torch_entries

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
ENTRIES = {entry.name: entry for entry in torch_entries()}
NOT_PLAIN = {"LRScheduler", "_LRScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler"}


def listed(prefix):
    return [name.removeprefix(prefix) for name in ENTRIES if name.startswith(prefix)]


def classes_in(module, base):
    found = {name: value for name, value in vars(module).items() if isinstance(value, type)}
    return sorted(name for name, value in found.items() if issubclass(value, base))


def compare(ours, theirs):
    if TORCH >= (2, 13):
        assert sorted(ours) == sorted(theirs)
    else:
        assert not set(theirs) - set(ours) - {"SGD"}


def test_every_module_class_of_torch_nn_has_a_key():
    compare(listed("nn."), classes_in(nn, nn.Module))


def test_every_optimizer_has_a_key():
    compare(listed("optim_cls."), set(classes_in(torch.optim, torch.optim.Optimizer)) - {"Optimizer"})


def test_every_scheduler_that_takes_plain_data_has_a_key():
    theirs = {*classes_in(lr_scheduler, lr_scheduler.LRScheduler), *classes_in(swa_utils, lr_scheduler.LRScheduler)}
    compare(listed("sched_cls."), theirs - NOT_PLAIN)


def test_best_effort_is_kept_for_constructors_that_pass_everything_on():
    def passes_on(name):
        kinds = {parameter.kind for parameter in inspect.signature(getattr(nn, name)).parameters.values()}
        return {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} <= kinds

    installed = [name for name in listed("nn.") if hasattr(nn, name)]
    best_effort = [name for name in installed if ENTRIES[f"nn.{name}"].signature_policy == "best_effort"]
    compare(best_effort, [name for name in installed if passes_on(name)])


def test_every_torch_key_imports_the_class_that_it_names():
    registry = build_registry()
    for key in registry.list_modules():
        entry = registry.get_module(key)
        if not str(entry.factory).startswith("torch."):
            continue
        try:
            assert entry.target.__name__ == key.rpartition(".")[2] or key == "nn.Container"
        except ConfigError:
            assert TORCH < (2, 13)


@pytest.mark.parametrize(
    "key",
    """log.jsonl sched_cls.LambdaLR cb.log_metrics metric.mean_abs_error data.my_data io.my_io loss.my_loss
    cb.print_epoch trainer.tutorial data.tutorial_regression io.tutorial loss.mse_l2 optim_factory.adamw_no_decay
    sched_factory.warmup_lambda data.constant_regression trainer.verbose dataset.digits""".split(),  # noqa: SIM905 - a table
)
def test_the_keys_of_the_documents_own_plugins_are_free(key):
    assert key not in build_registry().list_modules()


def test_each_registry_is_its_own():
    first = build_registry()
    first.register_module("extra", dict)
    assert "extra" not in build_registry().list_modules()

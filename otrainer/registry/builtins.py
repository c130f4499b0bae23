"""The keys that come with otrainer, as tables of text: nothing is imported before it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from otrainer.registry.core import Registry
from otrainer.registry.effects import promises_of
from otrainer.registry.entries import ModuleEntry, OpEntry

COMPONENTS = (
    ("trainer.default", "engine.trainer:DefaultTrainer", "trainer"),
    ("data.random_regression", "components.data.random_regression:RandomRegressionDataModule", "data"),
    ("data.dataset", "components.data.dataset:DatasetDataModule", "data"),
    ("dataset.arrays", "components.data.arrays:ArraysDataset", "dataset"),
    ("dataset.tokens", "components.data.tokens:TokensDataset", "dataset"),
    ("dataset.text_lines", "components.data.text_lines:TextLinesDataset", "dataset"),
    ("dataset.csv", "components.data.tables:CsvDataset", "dataset"),
    ("dataset.parquet", "components.data.tables:ParquetDataset", "dataset"),
    ("dataset.image_folder", "components.data.image_folder:ImageFolderDataset", "dataset"),
    ("transform.torchvision", "components.transforms:torchvision_transform", "transform"),
    ("dataset.shards", "components.data.shards:ShardsDataset", "dataset"),
    ("collate.pad", "components.data.pad:PadCollate", "collate"),
    ("sampler.weighted", "components.data.samplers:WeightedSampler", "sampler"),
    ("sampler.shards", "components.data.shards:ShardSampler", "sampler"),
    ("sampler.bucket", "components.data.samplers:BucketSampler", "sampler"),
    ("batch_sampler.tokens", "components.data.batch_samplers:TokensBatchSampler", "sampler"),
    ("io.mapping", "components.io:MappingIO", "io"),
    ("loss.torch", "components.loss:TorchLoss", "loss"),
    ("optim_factory.torch", "components.optim:TorchOptimizerFactory", "optim"),
    ("sched_factory.torch", "components.sched:TorchSchedulerFactory", "sched"),
    ("sched_factory.phases", "components.sched_phases:PhasesFactory", "sched"),
    ("sched_factory.chained", "components.sched_chained:ChainedFactory", "sched"),
    ("sched_factory.by_group", "components.sched_groups:GroupsFactory", "sched"),
    ("sched_factory.function", "components.sched_chained:FunctionFactory", "sched"),
    ("cb.model_checkpoint", "components.callbacks.model_checkpoint:ModelCheckpoint", "callback"),
    ("cb.early_stopping", "components.callbacks.early_stopping:EarlyStopping", "callback"),
    ("cb.throughput", "components.callbacks.throughput:Throughput", "callback"),
    ("cb.profiler", "components.callbacks.profiler:Profiler", "callback"),
    ("cb.lr_monitor", "components.callbacks.lr_monitor:LrMonitor", "callback"),
    ("cb.samples", "components.callbacks.samples:Samples", "callback"),
    ("log.stdout", "components.loggers.stdout:StdoutLogger", "logger"),
    ("log.json_lines", "components.loggers.json_lines:JsonLinesLogger", "logger"),
    ("metric.torchmetrics", "components.metrics:TorchMetric", "metric"),
    ("tensor", "components.tensors:tensor", "value"),
    ("mlp", "components.blocks:mlp", "block"),
    ("conv_bn_act", "components.blocks:conv_bn_act", "block"),
    ("residual_block", "components.blocks:residual_block", "block"),
    ("normalize", "components.normalize:Normalize", "block"),
)
# Arguments that cannot change what is trained, as `Registry.register_module` has them; a test tries each. Workers share
# a data set out where it is read by index; of an iterable-style one each reads a part, and so the order is another.
WITHOUT_EFFECT: Mapping[str, Mapping[str, Iterable[str]] | Iterable[str]] = {
    "cb.model_checkpoint": {"background": ()},  # the others say which files a run leaves
    "data.dataset": {"num_workers": ("train", "val"), "pin_memory": (), "timeout": ()},
    "cb.throughput": ("*",),
    "cb.profiler": ("*",),
    "cb.lr_monitor": ("*",),
    "log.stdout": ("*",),
}
OP = "op:"
OPS = ("add", "mul", "cat", "stack", "getitem", "identity")
TORCH_NAMES = Path(__file__).with_name("torch_names.txt")


def build_registry() -> Registry:
    """Return a new registry with all built-in keys and ops."""
    return Registry(*builtins())


@cache
def builtins() -> tuple[tuple[ModuleEntry, ...], tuple[OpEntry, ...]]:
    own = (
        ModuleEntry(key, f"otrainer.{target}", tags=(tag,), without_effect=promises_of(WITHOUT_EFFECT.get(key, ())))
        for key, target, tag in COMPONENTS
    )
    ops = (OpEntry(name, f"otrainer.components.ops:{name}") for name in OPS)
    return (*own, *torch_entries()), (*ops, *torch_ops())


def paragraphs() -> list[list[str]]:
    """Return the table of torch's names: a prefix, a module, and names in it; the table says how it is written."""
    _comment, *found = TORCH_NAMES.read_text(encoding="utf-8").split("\n\n")
    return [each.split() for each in found]


def torch_ops() -> Iterator[OpEntry]:
    """Yield an entry for each function of torch that the table names, as `torch.permute` and `F.softmax`."""
    for prefix, module, *names in paragraphs():
        if prefix.startswith(OP):
            yield from (OpEntry(f"{prefix.removeprefix(OP)}.{name}", f"{module}:{name}") for name in names)


def torch_entries() -> Iterator[ModuleEntry]:
    """Yield an entry for each class of torch that the table names."""
    for prefix, module, *names in paragraphs():
        if prefix.startswith(OP):
            continue
        tags = (module,) if prefix == "nn" else (module, prefix)
        for name in names:
            bare = name.removesuffix("*")
            yield ModuleEntry(f"{prefix}.{bare}", f"{module}:{bare}", "strict" if bare == name else "best_effort", tags)

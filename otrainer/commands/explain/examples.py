"""A spec of each component that a config may hold as it is: the arguments that it needs, where it belongs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from otrainer.commands.explain.op_examples import BY_OP
from otrainer.config.sections import SECTIONS

if TYPE_CHECKING:
    from otrainer.registry.describe.annotations import Values
    from otrainer.registry.describe.interface import Row

MSE = {"_type_": "loss.torch", "fn": {"_type_": "nn.MSELoss"}}
STEP_LR = {"type": "sched_cls.StepLR", "kwargs": {"step_size": 100}}
WARM_UP = {"type": "sched_cls.LinearLR", "kwargs": {"total_iters": "auto"}, "length": 100}
ARRAYS = {"_type_": "dataset.arrays", "path": "data/train.npz"}
BY_GROUPS = {"head": {"_type_": "sched_factory.torch", **STEP_LR}}
ENCODER_LAYER = {"_type_": "nn.TransformerEncoderLayer", "d_model": 32, "nhead": 4}
DECODER_LAYER = {"_type_": "nn.TransformerDecoderLayer", "d_model": 32, "nhead": 4}
# What a component needs beside the names below, or in their place.
BY_KEY: Mapping[str, Mapping[str, Any]] = {
    "loss.torch": {"fn": {"_type_": "nn.MSELoss"}},
    "metric.torchmetrics": {"metric": "MeanSquaredError"},
    "data.dataset": {"train": ARRAYS, "batch_size": 32},
    "log.json_lines": {"path": "${run.out_dir}/metrics.jsonl"},
    "dataset.tokens": {"path": "data/tokens.npy", "block_size": 64},
    "optim_factory.torch": {"type": "optim_cls.AdamW", "kwargs": {"lr": 1.0e-3}},
    "sched_factory.torch": STEP_LR,
    "sched_factory.phases": {"phases": [WARM_UP, {"type": "sched_cls.CosineAnnealingLR", "kwargs": {"T_max": "auto"}}]},
    "sched_factory.chained": {"schedulers": [STEP_LR, {"type": "sched_cls.ExponentialLR", "kwargs": {"gamma": 0.99}}]},
    "sched_factory.by_group": {"groups": BY_GROUPS},
    "nn.DataParallel": {"module": {"_type_": "nn.Linear", "in_features": 32, "out_features": 16}},
    "nn.Fold": {"output_size": [8, 8], "kernel_size": [2, 2]},
    "nn.FractionalMaxPool2d": {"kernel_size": 2, "output_size": 4},
    "nn.FractionalMaxPool3d": {"kernel_size": 2, "output_size": 4},
    "nn.RNNBase": {"mode": "LSTM", "input_size": 32, "hidden_size": 16},
    "nn.TransformerDecoder": {"decoder_layer": DECODER_LAYER, "num_layers": 2},
    "nn.TransformerEncoder": {"encoder_layer": ENCODER_LAYER, "num_layers": 2},
    "nn.Unflatten": {"dim": 1, "unflattened_size": [4, 8]},
    "collate.pad": {"fields": ["tokens"]},
    "cb.samples": {"sampler": {"_type_": "samples.mine"}},
    "batch_sampler.tokens": {"by": "length", "most": 4096},
    "transform.torchvision": {"transform": "RandomErasing", "kwargs": {"p": 0.5}},
}
# Layers that are called with more than what the one before gave: with what, and what of their values goes on.
CALLS: Mapping[str, Mapping[str, Any]] = {
    "nn.Bilinear": {"args": ["$x", "$x"]},
    "nn.CosineSimilarity": {"args": ["$x", "$x"]},
    "nn.PairwiseDistance": {"args": ["$x", "$x"]},
    "nn.MultiheadAttention": {"args": ["$x", "$x", "$x"], "pick": 0},
    "nn.Transformer": {"args": ["$x", "$x"]},
    "nn.TransformerDecoder": {"args": ["$x", "$x"]},
    "nn.TransformerDecoderLayer": {"args": ["$x", "$x"]},
}
POOLED = "nn.MaxUnpool"  # which takes where a pool of as many dimensions had its values from, too
BY_NAME: Mapping[str, Any] = {
    "save_dir": "${run.out_dir}/checkpoints",
    "path": "data/train.npz",
    "model_kwargs": {"x": ["x"]},
    "function": "op:NAME",
    "field": "x",
    "by": "length",
    "dims": [32, 64, 16],
    "in_channels": 8,
    "out_channels": 16,
    "in_features": 32,
    "in1_features": 32,
    "in2_features": 32,
    "out_features": 16,
    "num_features": 16,
    "num_channels": 16,
    "num_groups": 4,
    "groups": 4,
    "n_classes": 16,
    "num_classes": 16,
    "cutoffs": [4, 8],
    "kernel_size": 3,
    "output_size": 1,
    "padding": 1,
    "size": 5,
    "value": 0.0,
    "threshold": 0.1,
    "num_embeddings": 1000,
    "embedding_dim": 32,
    "embed_dim": 32,
    "num_heads": 4,
    "d_model": 32,
    "nhead": 4,
    "input_size": 32,
    "hidden_size": 16,
    "bias": True,
    "num_chunks": 4,
    "norm_type": 2.0,
    "normalized_shape": [16],
    "upscale_factor": 2,
    "downscale_factor": 2,
    "T_max": 100,
    "T_0": 100,
    "base_lr": 1.0e-4,
    "max_lr": 1.0e-2,
    "lr": 1.0e-3,
    "gamma": 0.99,
    "milestones": [100, 200],
    "swa_lr": 1.0e-3,
    "step_size": 100,
    "total_steps": "auto",
    "data": [1.0, 2.0],
}
SIMPLE = {"boolean": True, "integer": 1, "number": 0.1, "string": "NAME", "array": [], "object": {}, "null": None}
GIVEN = {"optim_cls.": ("lr",), "sched_cls.OneCycleLR": ("total_steps",)}  # beside what is needed
CONFIGS: Mapping[str, Any] = {
    "schema_version": 1,
    "defaults": ["baseline.yaml"],
    "templates": {"small": {"_type_": "mlp", "dims": [32, 64, 16]}},
    "params": {"width": 64},
    "imports": ["extensions.custom_components"],
    "settings": {"strict": True},
    "run": {"name": "mine", "out_dir": "runs/${run.name}", "seed": 0, "precision": "fp32"},
    "weights": {"from": "runs/baseline/checkpoints/last.pt", "strict": False},
    "model": {"sequential": {"layers": [{"_type_": "mlp", "dims": [32, 64, 16]}]}},
    "trainer": {"_type_": "trainer.default", "max_epochs": 2},
    "data": {"_type_": "data.random_regression"},
    "io": {"_type_": "io.mapping", "model_kwargs": {"x": ["x"]}, "targets": {"y": ["y"]}},
    "loss": MSE,
    "optimizer": {"_type_": "optim_factory.torch", "type": "optim_cls.AdamW", "kwargs": {"lr": 1.0e-3}},
    "scheduler": {"_type_": "sched_factory.torch", **STEP_LR},
    "callbacks": [{"_type_": "cb.model_checkpoint", "save_dir": "${run.out_dir}/checkpoints"}],
    "loggers": [{"_type_": "log.stdout"}],
    "metrics": [{"_type_": "metric.torchmetrics", "metric": "MeanSquaredError"}],
}


def example_of(key: str, row: Row) -> str:
    """Return a component as YAML, in its place."""
    return as_yaml(placed(key, arguments_for(key, row)))


def of_section(name: str) -> str:
    return as_yaml({name: CONFIGS[name]})


def of_op(name: str) -> str:
    """Return a call as one of the steps of a model's graph."""
    return as_yaml([{"call": f"op:{name}", "args": BY_OP.get(name, ["$x"]), "out": "z"}])


def arguments_for(key: str, row: Row) -> dict[str, Any]:
    """Return the arguments that a component needs."""
    if key in BY_KEY:
        return dict(BY_KEY[key])
    given = [name for prefix, names in GIVEN.items() if key.startswith(prefix) for name in names]
    arguments = list(row["arguments"].items())
    if key.startswith(("optim_cls.", "sched_cls.")):
        arguments = arguments[1:]  # the factory gives it
    return {name: value_for(name, each["values"]) for name, each in arguments if each["required"] or name in given}


def value_for(name: str, values: Values) -> Any:
    """Return a value that an argument of such a name may have, or one of its type."""
    if "enum" in values:
        return values["enum"][0]
    kinds = values.get("type", ["string"])
    return BY_NAME[name] if name in BY_NAME else SIMPLE[kinds[0]]


def placed(key: str, arguments: Mapping[str, Any]) -> Any:
    """Return the config in which a component stands where it belongs."""
    spec = {"_type_": key, **arguments}
    for section in SECTIONS:
        if key.startswith(section.prefix):
            return {section.name: [spec] if section.many else spec}
        if section.cls and key.startswith(section.cls):
            kwargs = {"kwargs": dict(arguments)} if arguments else {}
            return {section.name: {"_type_": f"{section.prefix}torch", "type": key, **kwargs}}
    if key.startswith("dataset."):
        return {"data": {"_type_": "data.dataset", "train": spec}}
    for kind in ("sampler", "batch_sampler", "collate"):
        if key.startswith(f"{kind}."):
            return {"data": {"_type_": "data.dataset", "train": ARRAYS, kind: spec}}
    if key.startswith("transform."):
        images = {"_type_": "dataset.image_folder", "path": "data/train", "transform": [spec]}
        return {"data": {"_type_": "data.dataset", "train": images}}
    if key == "tensor":
        return {"loss": {"_type_": "loss.torch", "fn": {"_type_": "nn.CrossEntropyLoss", "weight": spec}}}
    if key.startswith("nn.") and key.removesuffix("2d").endswith("Loss"):
        return {"loss": {"_type_": "loss.torch", "fn": spec}}
    if key.startswith(POOLED):
        return {"model": {"graph": unpooled(key, spec)}}
    layer = {"layer": spec, **CALLS[key]} if key in CALLS else spec
    return {"model": {"sequential": {"layers": [layer]}}}


def unpooled(key: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a graph in which a layer puts values back to where a pool took them from."""
    pool = {"_type_": key.replace("Unpool", "Pool"), "kernel_size": spec["kernel_size"], "return_indices": True}
    return {
        "inputs": ["x"],
        "modules": {"pool": pool, "unpool": dict(spec)},
        "steps": [
            {"call": "module:pool", "args": ["$x"], "out": ["pooled", "places"]},
            {"call": "module:unpool", "args": ["$pooled", "$places"], "out": "y"},
        ],
        "outputs": ["$y"],
    }


class Dumper(yaml.SafeDumper):
    """Writes lists of plain values in a line, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def as_yaml(data: Any) -> str:
    text: str = yaml.dump(data, Dumper=Dumper, sort_keys=False, default_flow_style=None, width=100)
    return text


def in_a_line_of_yaml(value: Any) -> str:
    """Return a value as it may stand behind the name of an argument, however long."""
    text: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, default_flow_style=True, width=math.inf)
    return text.rstrip("\n")

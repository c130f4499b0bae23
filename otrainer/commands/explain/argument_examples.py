"""A value for each argument whose type does not say what it looks like: lists, mappings, specs, or no type at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHARDS = ["data/part-0.parquet", "data/part-1.parquet"]
ACTIVATION = {"_type_": "nn.LeakyReLU", "negative_slope": 0.2}
VALUES: Mapping[str, Any] = {
    "cb.samples.sampler": {"_type_": "samples.mine"},
    "cb.samples.value_range": [-1.0, 1.0],
    "collate.pad.fields": ["tokens", "obs.0"],
    "collate.pad.value": {"tokens": -100},
    "conv_bn_act.kernel_size": [3, 5],
    "conv_bn_act.stride": [2, 1],
    "conv_bn_act.padding": [1, 2],
    "conv_bn_act.norm": {"_type_": "nn.GroupNorm", "num_groups": 4, "num_channels": 16},
    "conv_bn_act.act": ACTIVATION,
    "data.dataset.train": {"_type_": "dataset.arrays", "path": "data/train.npz"},
    "data.dataset.val": {
        "clean": {"_type_": "dataset.arrays", "path": "data/clean.npz"},
        "noisy": {"_type_": "dataset.arrays", "path": "data/noisy.npz"},
    },
    "data.dataset.test": {"_type_": "dataset.arrays", "path": "data/test.npz"},
    "data.dataset.collate": {"_type_": "collate.pad", "fields": ["tokens"]},
    "data.dataset.sampler": {"_type_": "sampler.weighted", "weights": "data/weights.npy"},
    "data.dataset.batch_sampler": {"_type_": "batch_sampler.tokens", "by": "length", "most": 4096},
    "data.dataset.split": {"val": 0.1, "test": 0.1, "seed": 0},
    "data.dataset.transform": {"image": [{"_type_": "nn.Flatten", "start_dim": 0}]},
    "data.dataset.train_transform": {
        "image": [{"_type_": "transform.torchvision", "transform": "RandomHorizontalFlip"}]
    },
    "data.dataset.fold": {"index": 0, "of": 5},
    "data.random_regression.x_shape": [3, 32, 32],
    "data.random_regression.y_shape": [16],
    "dataset.arrays.path": {"x": "data/x.npy", "y": "data/y.npy"},
    "dataset.arrays.fields": ["x", "y"],
    "dataset.csv.path": ["data/2024.csv", "data/2025.csv"],
    "dataset.image_folder.transform": [
        {"_type_": "transform.torchvision", "transform": "RandomHorizontalFlip"},
        {"_type_": "transform.torchvision", "transform": "RandomCrop", "kwargs": {"size": 32, "padding": 4}},
    ],
    "dataset.image_folder.size": [32, 32],
    "dataset.image_folder.classes": ["cat", "dog"],
    "dataset.parquet.path": SHARDS,
    "dataset.shards.path": SHARDS,
    "dataset.shards.fields": ["x", "y"],
    "dataset.text_lines.path": ["data/a.txt", "data/b.txt"],
    "dataset.text_lines.tokenizer": {"_type_": "tokenizer.mine"},
    "features": ["age", "income"],
    "target": ["price"],
    "categories": ["town"],
    "normalize": ["age", "income"],
    "fill": {"age": 0.0},
    "io.mapping.model_kwargs": {"x": ["obs", 0]},
    "io.mapping.targets": {"y": ["y"]},
    "loss.torch.fn": {"_type_": "nn.CrossEntropyLoss", "label_smoothing": 0.1},
    "pred_path": ["logits"],
    "target_path": ["y"],
    "metric.torchmetrics.args": [0.1],
    "metric.torchmetrics.kwargs": {"task": "multiclass", "num_classes": 10},
    "mlp.dims": [None, 64, 16],
    "mlp.activation": ACTIVATION,
    "mlp.final_activation": {"_type_": "nn.Softmax", "dim": -1},
    "optim_factory.torch.args": [1.0e-3],
    "optim_factory.torch.kwargs": {"lr": 1.0e-3, "weight_decay": 0.01},
    "optim_factory.torch.groups": [{"match": "backbone.*", "lr_scale": 0.1}, {"modules": "norm", "weight_decay": 0.0}],
    "optim_factory.torch.no_decay": ["bias", "norm"],
    "optim_factory.torch.layer_decay": {"rate": 0.75, "layers": "layers.*"},
    "optim_factory.torch.parameters": ["head.*"],
    "residual_block.act": ACTIVATION,
    "sampler.weighted.weights": [0.5, 2.0],
    "sched_factory.by_group.groups": {
        "head": {"_type_": "sched_factory.torch", "type": "sched_cls.StepLR", "kwargs": {"step_size": 100}}
    },
    "sched_factory.by_group.rest": {
        "_type_": "sched_factory.torch",
        "type": "sched_cls.CosineAnnealingLR",
        "kwargs": {"T_max": "auto"},
    },
    "sched_factory.chained.schedulers": [
        {"type": "sched_cls.LinearLR", "kwargs": {"total_iters": 100}},
        {"type": "sched_cls.ExponentialLR", "kwargs": {"gamma": 0.99}},
    ],
    "sched_factory.phases.phases": [
        {"type": "sched_cls.LinearLR", "kwargs": {"total_iters": "auto"}, "length": 100},
        {"type": "sched_cls.CosineAnnealingLR", "kwargs": {"T_max": "auto"}},
    ],
    "sched_factory.torch.args": [100],
    "sched_factory.torch.kwargs": {"step_size": 100, "gamma": 0.5},
    "tensor.data": [[1.0, 2.0], [3.0, 4.0]],
    "trainer.default.freeze": [{"match": "backbone.*", "until_epoch": 1}],
    "trainer.default.ema": {"decay": 0.999, "from_step": 100},
    "trainer.default.swa": {"from_epoch": 75, "update_bn": True},
    "trainer.default.accumulate": {"tokens": 65536},
    "trainer.default.checkpoint_activations": ["layers.*"],
    "transform.torchvision.args": [0.5],
    "transform.torchvision.kwargs": {"size": 32, "padding": 4},
}


def value_of(component: str, argument: str) -> Any:
    """Return a value that an argument may have, None where its type says enough."""
    return VALUES.get(f"{component}.{argument}", VALUES.get(argument) if component.startswith(OURS) else None)


OURS = ("dataset.", "loss.torch", "metric.torchmetrics")  # whose arguments of one name take the same

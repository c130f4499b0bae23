"""What is said of a step is what a step takes: counted again on the CPU with real numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from otrainer.commands.show_model import measure
from otrainer.commands.show_model.calls import flop_counter
from otrainer.commands.show_model.fake import fake_mode
from otrainer.commands.show_model.memory import optimizer_bytes
from otrainer.components.optim import TorchOptimizerFactory
from otrainer.config import resolve_config
from otrainer.engine.pure import narrow_parts, narrowed
from otrainer.engine.seed import seed_everything
from otrainer.engine.setup import place_loss
from otrainer.model import assemble, compile_model, materialize
from otrainer.registry import build_registry, instantiate_value

MLP = {"sequential": {"layers": [{"_type_": "mlp", "dims": [None, 64, 64, 16], "dropout": 0.1, "activation": "gelu"}]}}
CONV = {
    "graph": {
        "inputs": ["x"],
        "modules": {
            "stem": {"_type_": "conv_bn_act", "in_channels": None, "out_channels": 8},
            "low": {"_type_": "residual_block", "in_channels": 8},
            "high": {"_type_": "residual_block", "in_channels": 8, "out_channels": 16, "stride": 2},
            "pool": {"_type_": "nn.AdaptiveAvgPool2d", "output_size": 1},
            "flat": {"_type_": "nn.Flatten"},
            "head": {"_type_": "nn.Linear", "in_features": 16, "out_features": 16},
        },
        "steps": [
            {"call": f"module:{name}", "args": [f"${given}"], "out": f"{name}_out"}
            for given, name in [
                ("x", "stem"), ("stem_out", "low"), ("low_out", "high"), ("high_out", "pool"),
                ("pool_out", "flat"), ("flat_out", "head"),
            ]
        ],
        "outputs": ["$head_out"],
    }
}  # fmt: skip
LAYER = {"_type_": "nn.TransformerEncoderLayer", "d_model": 32, "nhead": 4, "dim_feedforward": 64, "batch_first": True}
TRANSFORMER = {"sequential": {"layers": [{**LAYER, "dropout": 0.0}, {**LAYER, "dropout": 0.1}]}}
CASES = {
    "mlp": (MLP, [32], [16]),
    "conv": (CONV, [3, 8, 8], [16]),
    "transformer": (TRANSFORMER, [10, 32], [10, 32]),
}


class Taken(NamedTuple):
    """What a real step took."""

    parameters: int
    forward: int
    backward: int
    memory: dict[str, int]


def config_of(name: str, precision: str = "fp32", optimizer: str = "AdamW", **kwargs: Any) -> Any:
    model, x_shape, y_shape = CASES[name]
    return resolve_config(
        {
            "schema_version": 1,
            "run": {"name": name, "out_dir": "runs/x", "precision": precision},
            "trainer": {"_type_": "trainer.default"},
            "data": {"_type_": "data.random_regression", "batch_size": 6, "x_shape": x_shape, "y_shape": y_shape},
            "io": {"_type_": "io.mapping", "model_kwargs": {"x": ["x"]}, "targets": {"y": ["y"]}},
            "loss": {"_type_": "loss.torch", "fn": {"_type_": "nn.MSELoss"}},
            "optimizer": {
                "_type_": "optim_factory.torch",
                "type": f"optim_cls.{optimizer}",
                "kwargs": {"lr": 0.01, **kwargs},
            },
            "model": model,
        }
    )


def real_step(config: Any, *, counter: FlopCounterMode | None = None) -> Taken:
    """A step as the trainer makes it, watched."""
    registry = build_registry()
    seed_everything(0)

    def built(section: str) -> Any:
        return instantiate_value(config.data[section], registry=registry, settings=config.settings)

    model = assemble(
        compile_model(config.data["model"], registry=registry, settings=config.settings), registry, config.settings
    )
    batch = next(iter(built("data").train_dataloader()))
    inputs, targets, _ = built("io").split(batch, stage="train")
    materialize(model, inputs.args, inputs.kwargs)
    loss = built("loss")
    place_loss(loss, torch.device("cpu"))
    if config.data["run"]["precision"] == "bf16":
        narrow_parts(model, loss)
        inputs, targets, batch = narrowed((inputs, targets, batch))
    owned = [*model.parameters(), *model.buffers()]
    kept: dict[int, torch.UntypedStorage] = {}
    counter = counter or flop_counter()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        return tensor

    with counter:
        mixed = config.data["run"]["precision"] == "bf16-mixed"
        with (
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16, enabled=mixed),
        ):
            value = loss(outputs=model(*inputs.args, **inputs.kwargs), targets=targets, batch=batch, stage="train")
        forward = counter.get_total_flops()
        value.loss.backward()
    optimizer = built("optimizer").build(model, registry=registry)
    optimizer.step()
    weights = {each.untyped_storage().data_ptr() for each in owned}
    return Taken(
        parameters=sum(each.numel() for each in model.parameters()),
        forward=forward,
        backward=counter.get_total_flops() - forward,
        memory={
            "weights": sum(each.numel() * each.element_size() for each in owned),
            "gradients": sum(each.grad.numel() * each.grad.element_size() for each in model.parameters()),
            "optimizer": state_of(optimizer),
            "activations": sum(storage.nbytes() for address, storage in kept.items() if address not in weights),
        },
    )


def said(config: Any) -> Taken:
    estimate = measure(config, build_registry())
    assert (estimate.notes, estimate.findings) == ([], [])
    assert estimate.flops is not None
    forward, backward = estimate.flops
    assert backward is not None
    return Taken(estimate.parameters, forward, backward, {name: size or 0 for name, size in estimate.memory.items()})


@pytest.mark.parametrize("precision", ["fp32", "bf16-mixed", "bf16"])
@pytest.mark.parametrize("name", CASES)
def test_parameters_flops_and_memory_are_those_of_a_real_step(name: str, precision: str) -> None:
    config = config_of(name, precision)
    found, real = said(config), real_step(config)

    # bf16 convolutions: what a kernel keeps of a batch's statistics is of another type.
    assert found.memory["activations"] == pytest.approx(real.memory.pop("activations"), rel=0.01)
    assert found._replace(memory=found.memory | real.memory) == found
    assert found._replace(memory={}) == real._replace(memory={})


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_flops_are_those_that_torch_counts(name: str) -> None:
    config = config_of(name)
    found, real = said(config), real_step(config, counter=FlopCounterMode(display=False))

    assert (found.forward, found.backward) == (real.forward, real.backward)


def test_a_loss_with_tensors_of_its_own_is_followed() -> None:
    config = config_of("mlp")
    weight = {"_type_": "tensor", "data": [1.0] * 16}
    loss = {"_type_": "loss.torch", "fn": {"_type_": "nn.BCEWithLogitsLoss", "pos_weight": weight}}
    config = resolve_config({**config.data, "loss": loss})

    assert said(config) == real_step(config)


def test_attention_counts_for_what_its_matrix_products_do() -> None:
    """torch counts none for the attention that it fuses on the CPU."""
    config = config_of("transformer")
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        products = real_step(config, counter=FlopCounterMode(display=False))

    assert said(config).forward == products.forward > real_step(config, counter=FlopCounterMode(display=False)).forward


OPTIMIZERS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("AdamW", {"amsgrad": True}),
    ("Adam", {"foreach": True}),
    *((name, {}) for name in ("NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "ASGD", "Rprop")),
    ("Adafactor", {}),
]


@pytest.mark.parametrize(("name", "kwargs"), OPTIMIZERS, ids=[f"{name}{list(kwargs)}" for name, kwargs in OPTIMIZERS])
def test_an_optimizer_takes_what_it_keeps_after_a_step(name: str, kwargs: dict[str, Any]) -> None:
    factory = TorchOptimizerFactory(f"optim_cls.{name}", kwargs={"lr": 0.01, **kwargs})

    def stepped_over(model: torch.nn.Module) -> torch.optim.Optimizer:
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        return factory.build(model, registry=build_registry())

    real = stepped_over(torch.nn.Conv2d(3, 5, 7))
    real.step()
    with fake_mode():
        found = optimizer_bytes(stepped_over(torch.nn.Conv2d(3, 5, 7)))

    assert found == state_of(real)


def state_of(optimizer: torch.optim.Optimizer) -> int:
    """The bytes of all tensors in an optimizer's state."""
    values = [value for state in optimizer.state.values() for value in state.values()]
    flat = [each for value in values for each in (value if isinstance(value, list) else [value])]
    return sum(each.numel() * each.element_size() for each in flat if isinstance(each, torch.Tensor))


def test_lbfgs_takes_what_it_has_once_its_history_is_full() -> None:
    parameter = torch.nn.Parameter(torch.ones(1000))
    optimizer = torch.optim.LBFGS([parameter], history_size=3, max_iter=8)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (parameter * torch.arange(1000) / 100).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert len(optimizer.state[parameter]["old_dirs"]) == 3
    assert optimizer_bytes(optimizer) == pytest.approx(state_of(optimizer), rel=0.01)

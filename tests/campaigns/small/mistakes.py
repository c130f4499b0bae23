"""Mistakes of a closed list, put into experiments at random: each has to be refused before a parameter changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from support import Batches

from otrainer.components.callbacks import EarlyStopping, ModelCheckpoint
from otrainer.components.io import MappingIO
from otrainer.components.loss import LossOutput
from otrainer.engine.signals import StopRequest
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError
from otrainer.registry import build_registry
from otrainer.registry.build.instantiate import instantiate_value

from .draw import Experiment, settled
from .parts import Seen, parts_of


@dataclass
class Attempt:
    """A run that is about to be trained, and may be spoiled: its parts, its trainer's arguments, its settings."""

    drawn: Experiment
    folder: Path
    parts: dict[str, Any]
    trainer: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    def build(self, section: str, key: str, **arguments: Any) -> Any:
        """A component by its key, as the config's section builds it."""
        return instantiate_value({"_type_": key, **arguments}, registry=build_registry(), config_path=(section,))

    def set(self, section: str, part: str, key: str, **arguments: Any) -> None:
        self.parts[part] = self.build(section, key, **arguments)


class KeyOfVal:
    """Validation batches that have another key than those of training."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def train_dataloader(self) -> Any:
        return [{"x": batch["x"], "y": batch["y"]} for batch in self.inner.train_dataloader()]

    def val_dataloader(self) -> Any:
        return [{"x": batch["x"], "label": batch["y"]} for batch in self.inner.train_dataloader()]


class Named:
    """A metric that says what it is told to."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def compute(self) -> dict[str, float]:
        return dict.fromkeys(self.names, 1.0)


class NeedsMore:
    """A metric that looks for what validation does not have."""

    def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
        if stage == "val":
            targets["weights"]


class Misspelt:
    """A callback whose hook has a wrong name."""

    def on_train_step_ends(self, ctx: Any) -> None:
        """Never called."""


class LossOf:
    """A loss that hands on what a function makes of it."""

    def __init__(self, inner: Any, change: Callable[[Any, str], Any]) -> None:
        self.inner, self.change = inner, change

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> Any:
        return self.change(self.inner(outputs=outputs, targets=targets, batch=batch, stage=stage), stage)


def key_of_val(made: Attempt) -> None:
    made.parts["datamodule"] = KeyOfVal(made.parts["datamodule"])
    made.parts["io"] = MappingIO({"x": ["x"]}, {"y": ["y"]})


def changed_loss(change: Callable[[Any, str], Any]) -> Callable[[Attempt], None]:
    def spoil(made: Attempt) -> None:
        made.parts["loss"] = LossOf(made.parts["loss"], change)

    return spoil


def fails_in_val(result: Any, stage: str) -> Any:
    if stage == "val":
        raise ValueError("no such thing in validation")
    return result


def with_part(part: str, make: Callable[[Attempt], Any]) -> Callable[[Attempt], None]:
    def spoil(made: Attempt) -> None:
        made.parts[part].append(make(made))

    return spoil


def with_key(section: str, part: str, key: str, **arguments: Any) -> Callable[[Attempt], None]:
    return lambda made: made.set(section, part, key, **arguments)


def scheduled(key: str, **arguments: Any) -> Callable[[Attempt], None]:
    return with_key("scheduler", "scheduler_factory", "sched_factory.torch", type=f"sched_cls.{key}", **arguments)


def one_cycle_too_short(made: Attempt) -> None:
    total = made.drawn.steps_an_epoch * made.drawn.epochs - 1
    kwargs = {"max_lr": 0.01, "total_steps": total, "cycle_momentum": False}
    scheduled("OneCycleLR", kwargs=kwargs, interval="step")(made)


def frozen(made: Attempt) -> None:
    made.parts["model"].requires_grad_(requires_grad=False)
    optimized("optim_cls.SGD", lr=0.1)(made)


def optimized(key: str, **kwargs: Any) -> Callable[[Attempt], None]:
    return with_key("optimizer", "optimizer_factory", "optim_factory.torch", type=key, kwargs=kwargs)


def of_dataset(**arguments: Any) -> Callable[[Attempt], None]:
    return lambda made: made.set("data", "datamodule", "data.dataset", train=list(range(8)), **arguments)


def trainer(**arguments: Any) -> Callable[[Attempt], None]:
    return lambda made: made.trainer.update(arguments)


def run(**settings: Any) -> Callable[[Attempt], None]:
    return lambda made: made.run.update(settings)


@dataclass(frozen=True)
class Mistake:
    """How a run is spoiled, the section that has to be named (none where an error of the user's own goes on), and what
    of the experiment has to be otherwise for it."""

    spoil: Callable[[Attempt], None]
    section: str | None
    needs: dict[str, Any] = field(default_factory=dict)


DICTS = {"batch": "dict", "loader": "list", "model": "mlp", "output": "tensor", "loss": "MSELoss", "optimizer": "SGD"}
ALONE = {"callback": "none", "other_callback": "none"}  # a callback of one's own may log what nobody knows of before
VALIDATED = {"val": "ragged", "validate_every": 1, "patience": None, **ALONE}
BY_VALUE = {"interval": "metric", "monitor": "val_los"}
MISTAKES = {
    "a key that validation has not": Mistake(key_of_val, "io", {**DICTS, **VALIDATED}),
    "a monitor misspelt": Mistake(with_part("callbacks", lambda _: EarlyStopping(monitor="val_los")), "callbacks", VALIDATED),
    "a checkpoint's monitor misspelt": Mistake(
        with_part("callbacks", lambda made: ModelCheckpoint(str(made.folder / "other"), monitor="accuracy")), "callbacks", VALIDATED
    ),
    "a schedule's monitor misspelt": Mistake(scheduled("ReduceLROnPlateau", **BY_VALUE), "scheduler", VALIDATED),
    "a monitor without validation": Mistake(
        with_part("callbacks", lambda _: EarlyStopping()), "callbacks", {"val": "none", "patience": None, "scheduler": "none", **ALONE}
    ),
    "OneCycle a step short": Mistake(one_cycle_too_short, "scheduler", {"epochs": 2, "patience": None, "optimizer": "SGD", "loader": "list"}),
    "batch_size 0": Mistake(of_dataset(batch_size=0), "data"),
    "workers below 0": Mistake(of_dataset(num_workers=-1), "data"),
    "a shuffled stream": Mistake(
        lambda made: made.set("data", "datamodule", "data.dataset", train=iter(range(3)), shuffle=True), "data"
    ),
    "no training data": Mistake(lambda made: made.parts.update(datamodule=Batches([])), None, {"val": "none", "patience": None, "scheduler": "none", **ALONE}),
    "two metrics of one name": Mistake(with_part("metrics", lambda _: Named("top", "same")), "metrics", {"metrics": "collected", **VALIDATED}),
    "a metric called loss": Mistake(with_part("metrics", lambda _: Named("val_loss")), "metrics", VALIDATED),
    "a metric that fails in validation": Mistake(with_part("metrics", lambda _: NeedsMore()), None, VALIDATED),
    "a loss that fails in validation": Mistake(changed_loss(fails_in_val), None, VALIDATED),
    "a loss's log called lr": Mistake(changed_loss(lambda result, _: LossOutput(result.loss, {"lr": 1.0})), "loss"),
    "a loss without a gradient": Mistake(changed_loss(lambda result, _: LossOutput(result.loss.detach())), "loss"),
    "a loss that is no scalar": Mistake(changed_loss(lambda result, _: LossOutput(result.loss * torch.ones(2))), "loss"),
    "a loss of None": Mistake(changed_loss(lambda *_: None), "loss"),
    "a loss that is NaN": Mistake(changed_loss(lambda result, _: LossOutput(result.loss * float("nan"))), "loss"),
    "a hook misspelt": Mistake(with_part("callbacks", lambda _: Misspelt()), "callbacks"),
    "nothing that trains": Mistake(frozen, "model", {"model": "mlp", "groups": "all", "scheduler": "none"}),
    "an optimizer that is not there": Mistake(optimized("optim_cls.Adamm"), None, {"groups": "all"}),
    "an argument that it does not take": Mistake(optimized("optim_cls.Adam", lrr=0.1), "optimizer", {"groups": "all"}),
    "a rate as text": Mistake(optimized("optim_cls.SGD", lr="0.1 "), "optimizer", {"groups": "all"}),
    "a rate below 0": Mistake(optimized("optim_cls.SGD", lr=-1.0), "optimizer", {"groups": "all"}),
    "a plateau by epochs": Mistake(scheduled("ReduceLROnPlateau", interval="epoch"), "scheduler", VALIDATED),
    "an epoch's schedule by values": Mistake(scheduled("StepLR", kwargs={"step_size": 2}, interval="metric", monitor="val_loss"), "scheduler", VALIDATED),
    "a frequency of 0": Mistake(scheduled("StepLR", kwargs={"step_size": 2}, frequency=0), "scheduler"),
    "an interval misspelt": Mistake(scheduled("StepLR", kwargs={"step_size": 2}, interval="epochs"), "scheduler"),
    "no epochs": Mistake(trainer(max_epochs=0), "trainer"),
    "groups of none": Mistake(trainer(grad_accum_steps=0), "trainer"),
    "a bound below 0": Mistake(trainer(grad_clip_norm=-1.0), "trainer"),
    "half precision on the CPU": Mistake(run(precision="fp16-mixed"), "run"),
    "a precision that is not there": Mistake(run(precision="bfloat16"), "run"),
    "a device that is not there": Mistake(run(device="gpu"), "run"),
    "a setting that is not there": Mistake(run(sed=1), "run"),
    "a checkpoint that is not there": Mistake(run(resume_from="gone.pt"), None),
}  # fmt: skip


def refusal(drawn: Experiment, name: str, folder: Path) -> str:
    """What is wrong with how a mistake was met, in a line; empty where it was refused in time and at its place."""
    mistake = MISTAKES[name]
    drawn = settled(replace(drawn, **mistake.needs))
    made = Attempt(drawn, folder, parts_of(drawn, Seen(), folder, None))
    model = made.parts["model"]
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    try:
        mistake.spoil(made)
        train(made)
    except ConfigError as error:
        said: BaseException = error
    except Exception as error:
        said = error
    else:
        return "was trained"
    if [key for key, value in model.named_parameters() if not torch.equal(value, before[key])]:
        return f"was refused after steps were taken: {said}"
    if mistake.section is None:
        return ""
    if not isinstance(said, ConfigError):
        return f"ended with {type(said).__name__}: {said}"
    if mistake.section not in {str(finding.config_path[0]) for finding in said.findings if finding.config_path}:
        return f"was refused at {said.config_path}: {said}"
    return ""


def train(made: Attempt) -> None:
    settings = {"name": "small", "out_dir": str(made.folder), "precision": made.drawn.precision, **made.run}
    arguments = {"max_epochs": made.drawn.epochs, "grad_accum_steps": made.drawn.accumulate, **made.trainer}
    spec = {"_type_": "trainer.default", "val_every_n_epochs": made.drawn.validate_every, **arguments}
    trainer: DefaultTrainer = instantiate_value(spec, registry=build_registry(), config_path=("trainer",))
    with StopRequest():
        trainer.fit(**made.parts, run=settings)

"""Small experiments at random: each choice is drawn by itself from the seed, so that one can be made plain alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from math import ceil
from typing import Any

import torch
from campaigns.plain.data import FORMS as BATCH_FORMS
from campaigns.plain.losses import LOSSES
from campaigns.plain.models import FORMS, MODELS
from campaigns.plain.optimizers import KEYED, OPTIMIZERS, OWN, Length
from campaigns.plain.user import CALLBACKS, METRICS


@dataclass(frozen=True)
class Experiment:
    """What is chosen of a small experiment; the defaults are the plainest."""

    seed: int = 0
    model: str = "mlp"
    output: str = "tensor"
    loss: str = "MSELoss"
    loss_by: str = "loss.torch"
    optimizer: str = "SGD"
    plain_loops: bool = True
    groups: str = "all"
    scheduler: str = "none"
    interval: str = "epoch"
    frequency: int = 1
    accumulate: int = 1
    clip: float | None = None
    precision: str = "fp32"
    loader: str = "list"
    batch: str = "dict"
    samples: int = 16
    batch_size: int = 4
    val: str = "as training"
    validate_every: int = 1
    metrics: str = "none"
    callback: str = "none"
    other_callback: str = "none"
    patience: int | None = None
    epochs: int = 2

    @property
    def dtype(self) -> torch.dtype:
        return MODELS[self.model].dtype

    @property
    def time_first(self) -> bool:
        return MODELS[self.model].takes == "time"

    @property
    def steps_an_epoch(self) -> int:
        return ceil(ceil(self.samples / self.batch_size) / self.accumulate)

    @property
    def length(self) -> Length:
        """How often the scheduler has its turn."""
        turns = {"step": self.steps_an_epoch * self.epochs, "epoch": self.epochs}.get(self.interval, self.epochs)
        return Length(max(1, turns // self.frequency))

    def __str__(self) -> str:
        plain = Experiment()
        chosen = {each.name: getattr(self, each.name) for each in fields(self)}
        said = [f"{name}={value!r}" for name, value in chosen.items() if value != getattr(plain, name)]
        return f"Experiment({', '.join(said)})"


# Who says what a loss is a mean over: nobody, by a component of torch's or one's own, or that one, or `split`.
BY = ("loss.torch", "a plugin", "a number", "a tensor", "a function", "split")
LOADERS = (
    "list", "generator", "data.dataset", "data.dataset", "data.dataset, two workers", "DataLoader", "DataLoader, own generator",
    "DataLoader, own sampler", "DataLoader, epochs' sampler", "DataLoader, own batches", "iterable with state", "iterable",
    "dataset with a generator", "dataset of epochs",
)  # fmt: skip
CHOICES: dict[str, tuple[Any, ...]] = {
    "model": tuple(MODELS),
    "output": ("tensor", *FORMS),
    "loss": tuple(LOSSES),
    "loss_by": ("loss.torch", "loss.torch", *BY[1:]),
    "optimizer": tuple(OPTIMIZERS),
    "plain_loops": (True, True, False),
    "groups": ("all", "all", "two rates", "head alone"),
    "scheduler": ("none", "none", *KEYED, *OWN),
    "interval": ("step", "epoch"),
    "frequency": (1, 1, 2),
    "accumulate": (1, 1, 2, 3, 4),
    "clip": (None, None, 0.5, 0.05),
    "precision": ("fp32", "fp32", "fp32", "bf16-mixed"),
    "loader": LOADERS,
    "batch": BATCH_FORMS,
    "samples": (16, 19, 22),
    "batch_size": (3, 4, 5),
    "val": ("as training", "as training", "ragged", "none"),
    "validate_every": (1, 1, 2),
    "metrics": tuple(METRICS),
    "callback": ("none", *CALLBACKS),
    "other_callback": ("none", "none", *CALLBACKS),
    "patience": (None, None, 1),
    "epochs": (1, 2, 3),
}


def draw(seed: int) -> Experiment:
    """The experiment of a seed, the same everywhere."""
    chosen = {name: random.Random(f"{seed}/{name}").choice(values) for name, values in CHOICES.items()}
    return settled(Experiment(seed=seed, **chosen))


def settled(drawn: Experiment) -> Experiment:
    """The experiment, without what torch itself does not bear together."""
    for rule in RULES:
        drawn = rule(drawn)
    return drawn


def without_parameters(loss: str) -> str:
    return "MSELoss" if loss.startswith("with ") else loss


def sparse(drawn: Experiment) -> Experiment:
    """Sparse gradients are for some optimizers, and SparseAdam takes no others."""
    if drawn.model == "sparse embedding alone" or drawn.optimizer == "SparseAdam":
        return replace(
            drawn,
            model="sparse embedding alone",
            optimizer="SparseAdam",
            clip=None,
            groups="all",
            loss=without_parameters(drawn.loss),
        )
    if drawn.model == "sparse embedding" and drawn.optimizer not in ("SGD", "Adagrad"):
        drawn = replace(drawn, optimizer="SGD" if drawn.seed % 2 else "Adagrad")
    return replace(drawn, clip=None) if drawn.model == "sparse embedding" else drawn


def numbers(drawn: Experiment) -> Experiment:
    """Eight bits and masters are for real numbers; autocast is for parameters of float32, complex ones are for few optimizers, Muon is for matrices."""
    if drawn.dtype != torch.float32 or drawn.model == "complex":
        drawn = replace(drawn, precision="fp32")
    if drawn.model == "gradients inside":  # no integers, no autocast through a second derivative
        drawn = replace(drawn, precision="fp32")
    if drawn.model == "complex" and drawn.optimizer.partition(",")[0] not in ("SGD", "Adam", "AdamW", "Adagrad"):
        drawn = replace(drawn, optimizer="Adam")
    if drawn.optimizer == "Muon":
        drawn = replace(drawn, model="matrices", loss=without_parameters(drawn.loss))
    return drawn


def modes(drawn: Experiment) -> Experiment:
    """An optimizer with modes has a rate of its own choice, and moves parameters that callbacks move too."""
    if drawn.optimizer != "schedule-free":
        return drawn
    return replace(drawn, scheduler="none", callback="none", other_callback="none", groups="all")


def lbfgs(drawn: Experiment) -> Experiment:
    """LBFGS knows one group, and evaluates a model several times a step."""
    if not drawn.optimizer.startswith("LBFGS"):
        return drawn
    groups = "all" if drawn.groups == "two rates" else drawn.groups
    return replace(without(drawn, "thaws"), groups=groups, plain_loops=True)


def schedule(drawn: Experiment) -> Experiment:
    """A plateau needs validations; a frequency that no turn of the run comes to is none."""
    if drawn.scheduler == "ReduceLROnPlateau":
        drawn = replace(drawn, interval="metric", val="as training" if drawn.val == "none" else drawn.val)
    if drawn.interval == "epoch" and drawn.epochs < 2 * drawn.frequency:
        drawn = replace(drawn, frequency=1, epochs=max(2, drawn.epochs))
    if drawn.scheduler == "OneCycleLR" and drawn.length.turns < 4:
        drawn = replace(drawn, interval="step", frequency=1, epochs=3)
    if drawn.scheduler in ("OneCycleLR", "CyclicLR") and drawn.groups == "two rates":
        drawn = replace(drawn, groups="all")  # whose one rate for both is refused
    return drawn


def early_stopping(drawn: Experiment) -> Experiment:
    """Stopping early needs validations, and a monitor one at least."""
    if drawn.validate_every > drawn.epochs:
        drawn = replace(drawn, validate_every=1)
    return replace(drawn, patience=None) if drawn.val == "none" else drawn


def callbacks(drawn: Experiment) -> Experiment:
    """Two callbacks are two; some schedules of torch want all groups from the beginning."""
    if drawn.scheduler in ONE_LENGTH:
        drawn = without(drawn, "thaws")
    return replace(drawn, other_callback="none") if drawn.callback == drawn.other_callback else drawn


def without(drawn: Experiment, callback: str) -> Experiment:
    kept = {name: getattr(drawn, name) for name in ("callback", "other_callback")}
    return replace(drawn, **{name: "none" if each == callback else each for name, each in kept.items()})


def losses(drawn: Experiment) -> Experiment:
    """A mean over something else than samples is said to be one; time first hides how many samples there are."""
    if drawn.model == "bfloat16 parameters" and LOSSES[drawn.loss].targets in ("sets", "classes"):
        drawn = replace(drawn, loss="SmoothL1Loss")
    if drawn.model == "BatchNorm by counts":  # of a batch of one it can tell nothing
        drawn = replace(drawn, batch_size=4)
    known = LOSSES[drawn.loss].mean_over == "samples" and not drawn.time_first
    known |= drawn.loss_by == "loss.torch" and drawn.loss in ("cross entropy, classes weighted", "MSE, a sum")
    if drawn.loss_by in BY[:2] and not known:
        return replace(drawn, loss_by=BY[2 + drawn.seed % 4])
    return drawn


ONE_LENGTH = (  # schedules of torch that fail where a group is added
    "CosineAnnealingWarmRestarts", "CyclicLR", "LambdaLR to numpy", "MultiplicativeLR", "OneCycleLR", "SWALR", "nested",
)  # fmt: skip


def workers(drawn: Experiment) -> Experiment:
    """Data workers take longer to start than a small experiment to train: few have them."""
    few = drawn.loader != "data.dataset, two workers" or drawn.seed % 4 == 0
    return drawn if few else replace(drawn, loader="data.dataset")


def metrics(drawn: Experiment) -> Experiment:
    """Those of torchmetrics are for values or classes, and compute in single precision."""
    fits = LOSSES[drawn.loss].targets in ("floats", "classes") and drawn.dtype == torch.float32
    return drawn if fits or drawn.metrics != "torchmetrics" else replace(drawn, metrics="sums")


RULES: tuple[Callable[[Experiment], Experiment], ...] = (
    sparse,
    numbers,
    modes,
    lbfgs,
    schedule,
    early_stopping,
    callbacks,
    losses,
    metrics,
    workers,
)


def shrink(failing: Experiment, fails: Callable[[Experiment], bool]) -> Experiment:
    """The plainest experiment that fails still, one choice after the other made plain."""
    plain, smaller = Experiment(), True
    while smaller:
        smaller = False
        for each in fields(Experiment):
            if each.name == "seed" or getattr(failing, each.name) == getattr(plain, each.name):
                continue
            tried = replace(failing, **{each.name: getattr(plain, each.name)})
            if settled(tried) == tried and fails(tried):
                failing, smaller = tried, True
    return failing


def coverage(experiments: Iterable[Experiment]) -> dict[str, Counter[Any]]:
    """How often each value of each choice was drawn."""
    found: dict[str, Counter[Any]] = {name: Counter() for name in CHOICES}
    for experiment in experiments:
        for name, counted in found.items():
            counted[getattr(experiment, name)] += 1
    return found

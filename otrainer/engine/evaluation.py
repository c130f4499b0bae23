"""Judge a model as validation does, by any loader and without training: the same numbers from the same weights."""

from __future__ import annotations

import os
from contextlib import chdir
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from otrainer.engine.accelerator import Accelerator
from otrainer.engine.boundary import Boundary
from otrainer.engine.checkpoint.load import load_checkpoint
from otrainer.engine.checkpoint.part_state import load_model_attributes, load_part
from otrainer.engine.checkpoint.restore import load_model_state
from otrainer.engine.checkpoint.secrets import revealed
from otrainer.engine.compiled_model import compiled
from otrainer.engine.data.loader import Loader, worker_trouble
from otrainer.engine.fitted import batches_in
from otrainer.engine.loss_check import LossWatch
from otrainer.engine.loss_modules import loss_modules, place_loss
from otrainer.engine.metrics import epoch_rows, reset_metrics
from otrainer.engine.own_step import own_step
from otrainer.engine.parts import check_metric_names
from otrainer.engine.pure import narrow_parts
from otrainer.engine.schedule import Schedule
from otrainer.engine.seed import derive_seed, seed_everything
from otrainer.engine.session import Session
from otrainer.engine.setup import build_loaders
from otrainer.engine.signals import current_stop_request
from otrainer.engine.state import RunContext, RunSettings, TrainState
from otrainer.engine.trainer import DefaultTrainer
from otrainer.engine.tree import count_samples
from otrainer.engine.validation import judge_sets, note_means
from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.engine.arrays import Array
    from otrainer.engine.logs import Number
    from otrainer.engine.parts import Parts
    from otrainer.engine.predictions import Predictions

VAL = "val"


@dataclass(frozen=True)
class Evaluation:
    """What a checkpoint came to: values by their logged names, and after how many optimizer steps it was taken.

    `epoch` counts from 0; `arrays` are what metrics computed and is no number.
    """

    values: dict[str, Number]
    step: int
    epoch: int
    batches: int
    samples: int
    definition: str | None
    arrays: dict[str, Array] = field(default_factory=dict, repr=False)


def evaluate_checkpoint(
    trainer: Any,
    parts: Parts,
    run: RunSettings,
    checkpoint: Path,
    *,
    split: str = VAL,
    keeps: Predictions | None = None,
) -> Evaluation:
    """Judge the weights for use of a checkpoint on a split of the data, as `trainer.default` validates.

    A trainer that extends it judges by its own `validation_step`. Nothing of the checkpoint's run is changed or
    written. What `keeps` predictions is told the outputs of the model and the targets, batch by batch.
    Raises ConfigError where the checkpoint is damaged or of another model, or the data have no such split,
    TrainingInterrupted after a signal, and whatever the user's parts raise.
    """
    check_metric_names(parts.metrics)
    saved = revealed(load_checkpoint(checkpoint, whole=False))
    if keeps is not None:
        parts = replace(parts, metrics=[*parts.metrics, cast("Any", keeps)])  # which computes nothing
    with worker_trouble(), chdir(os.curdir):
        session = session_for(trainer, parts, run, saved, split)
        try:
            with worker_trouble():
                batches, samples = judge_all(session, keeps)
            values = epoch_rows(session).get("val", {})
        finally:
            for loader in (session.ctx.train, session.val):
                loader.close()
    state = session.ctx.state
    return Evaluation(
        values,
        state.global_step,
        state.epoch,
        batches,
        samples,
        saved["meta"].get("definition"),
        arrays=session.arrays.take().get("val", {}),
    )


def session_for(trainer: Any, parts: Parts, run: RunSettings, saved: dict[str, Any], split: str) -> Session:
    """Put each part on its device, as the checkpoint left it; there is no optimizer."""
    accelerator = Accelerator(run.device, run.precision)
    train, val = build_loaders(parts.datamodule, run.seed)
    judged = val if split == VAL else val.by_name().get(split)
    if judged is None:
        judged = Loader(partial(batches_in, parts.datamodule, split), seed=run.seed, stage=split)
    if not judged:
        raise no_split(split)
    parts.model.to(accelerator.device)
    place_loss(parts.loss, accelerator.device)
    load_model_state(parts.model, saved)
    if accelerator.is_pure:
        narrow_parts(parts.model, parts.loss)
    modules = [parts.model, *loss_modules(parts.loss).values()]
    nothing: Any = None  # in the place of what only training has
    ctx = RunContext(
        run=run,
        state=TrainState(),
        device=accelerator.device,
        optimizer=nothing,
        scheduler=None,
        train=train,
        baseline=nothing,
        built={},
        **parts.in_context,
    )
    ctx.state.load_state_dict(saved["train_state"])
    load_model_attributes(ctx, saved.get("attributes", {}))
    for name in ("loss", "io"):
        load_part(getattr(ctx, name), saved[name], ctx, (name,))
    load_part(ctx.datamodule, saved["data"]["module"], ctx, ("data",))
    if isinstance(trainer, DefaultTrainer):
        ctx.own = own_step(trainer, DefaultTrainer, no_bound, None)
    return Session(
        ctx=ctx,
        accelerator=accelerator,
        val=judged,
        val_gradients=bool(getattr(trainer, "val_gradients", False)),
        schedule=Schedule({}),
        stop=current_stop_request(),
        modules=modules,
        forward=compiled(parts.model, run),
        watch=LossWatch(ctx, accelerator.device),
        boundary=Boundary(modules, accelerator.device),
    )


def judge_all(session: Session, kept: Predictions | None) -> tuple[int, int]:
    """Judge all batches, as `validate` does; return how many there were, and how many samples in them."""
    ctx, sizes = session.ctx, list[int]()
    seed_everything(derive_seed(ctx.run.seed, "evaluation"))  # whatever was drawn to build the parts
    reset_metrics(session)

    def seen(loader: Loader, number: int, batch: Any) -> None:
        sizes.append(loader.samples(number) or count_samples(batch))
        if kept is not None:
            kept.end_batch(sizes[-1])

    sets = judge_sets(session, seen=seen)
    if not sizes:
        raise nothing_to_judge()
    ctx.validated = True
    note_means(session, sets)
    return len(sizes), sum(sizes)


def no_bound(*_: Any, **__: Any) -> None:
    """Clip nothing: no optimizer steps here."""


def no_split(split: str) -> ConfigError:
    hint = (
        f"Give `data.dataset` the argument `{split}`, or take it of the training data by `split`; a data module of "
        f"your own returns it from {'`val_dataloader()`' if split == VAL else '`batches_of(split)`'}."
    )
    return ConfigError(
        f"The data have no `{split}` to judge by.", title="no such split", config_path=("data",), hint=hint
    )


def nothing_to_judge() -> ConfigError:
    message, hint = "The data yielded no batch to judge by.", "Check their sizes."
    return ConfigError(message, title="no data to judge by", config_path=("data",), hint=hint)

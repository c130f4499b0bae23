"""Set up what `trainer.default` trains with: each part of a run on its device, fresh or as a checkpoint left it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from otrainer.engine import checkpoint
from otrainer.engine.accelerator import Accelerator
from otrainer.engine.attributes import attributes_kept
from otrainer.engine.boundary import Boundary
from otrainer.engine.checkpoint.baseline import Baseline, ModelBuilt
from otrainer.engine.compiled_model import compiled
from otrainer.engine.data.loader import Loader
from otrainer.engine.data.validation_sets import ValidationSets, validation_data
from otrainer.engine.epoch_means import EpochMeans
from otrainer.engine.fitted import fit_modules, tell_fitted
from otrainer.engine.freezing import Freezing
from otrainer.engine.loss_check import LossWatch
from otrainer.engine.loss_modules import loss_modules, place_loss
from otrainer.engine.modes import begin_training
from otrainer.engine.optimizer import build_optimizer
from otrainer.engine.parts import check_hooks, check_metric_names
from otrainer.engine.pure import narrow_parts
from otrainer.engine.schedule import build_schedules
from otrainer.engine.session import Session
from otrainer.engine.signals import current_stop_request
from otrainer.engine.starting.load import start_from
from otrainer.engine.starting.section import Source, sources_in
from otrainer.engine.state import RunContext, RunSettings, TrainState
from otrainer.errors import ConfigError, errors_at

if TYPE_CHECKING:
    from otrainer.engine.parts import Parts
    from otrainer.engine.settings import TrainerSettings

log = logging.getLogger("otrainer")


def begin(parts: Parts, run: RunSettings, settings: TrainerSettings) -> Session:
    """Put everything in its place: data, model, optimizer, scheduler, and what `run.resume_from` holds.

    Raises ConfigError where a part cannot be built or does not fit the checkpoint.
    """
    check_hooks(parts.callbacks, parts.loggers)
    check_metric_names(parts.metrics)
    saved = load_saved(run)
    accelerator = Accelerator(run.device, run.precision)
    as_built = ModelBuilt(parts)
    train, val = build_loaders(parts.datamodule, run.seed)
    fit_modules(parts, run, train, settings.length.batches, is_new=saved is None)
    parts.model.to(accelerator.device)
    place_loss(parts.loss, accelerator.device)
    first_epoch = settle_weights(parts, saved, train, accelerator, sources_in(run.config))
    tell_fitted(parts, run)
    if accelerator.is_pure:
        narrow_parts(parts.model, parts.loss)
    modules = [parts.model, *loss_modules(parts.loss).values()]
    for module in modules:
        begin_training(module)
    freezing = Freezing(settings.freeze, parts.model) if settings.freeze else None
    if freezing is not None:
        freezing.freeze_for_good()
    optimizer = build_optimizer(parts)
    if (averaging := settings.averaging) is not None:
        averaging.begin(optimizer, parts.model, has_io=parts.io is not None)
    turns = settings.rhythm.turns(settings.length, train.batches())
    schedule = build_schedules(parts.scheduler_factory, optimizer, parts.registry, turns)
    ctx = RunContext(
        run=run,
        state=TrainState(),
        device=accelerator.device,
        optimizer=optimizer,
        scheduler=schedule.scheduler,
        train=train,
        val=val,
        scaler=accelerator.scaler,
        baseline=Baseline(parts, as_built),
        averaging=averaging,
        epoch_means=EpochMeans() if settings.log_epoch_means else None,
        built=checkpoint.hyperparameters(optimizer, schedule, parts),
        **parts.in_context,
    )
    if saved is not None:
        checkpoint.restore(ctx, saved)
    if freezing is not None:
        freezing.noted = partial(ctx.baseline.take_flags, "model")
        freezing.apply(ctx.state)
    checkpoint.check_loadable(ctx)
    run.progress.state = ctx.state
    return Session(
        ctx=ctx,
        accelerator=accelerator,
        val=val,
        schedule=schedule,
        stop=current_stop_request(),
        modules=modules,
        forward=compiled(parts.model, run),
        watch=LossWatch(ctx, accelerator.device),
        boundary=Boundary(modules, accelerator.device, (parts.loss, parts.io)),
        freezing=freezing,
        chose_fused=getattr(parts.optimizer_factory, "chose_fused", False),
        first_epoch=first_epoch,
        val_gradients=settings.val_gradients,
        rhythm=settings.rhythm if settings.rhythm.epochs is None else None,
        log_rhythm=settings.log_rhythm,
        is_rehearsed=saved is not None and saved["meta"].get("definition") == run.definition,
    )


def load_saved(run: RunSettings) -> dict[str, Any] | None:
    """Return the checkpoint that `run.resume_from` names; an error is drawn there if the config says so itself."""
    if run.resume_from is None:
        return None
    asked = ((run.config or {}).get("run") or {}).get("resume_from") is not None
    with errors_at("run", "resume_from") if asked else errors_at():
        return checkpoint.load_checkpoint(run.resume_from)


def build_loaders(datamodule: Any, seed: int) -> tuple[Loader, Loader | ValidationSets]:
    if hasattr(datamodule, "setup"):
        datamodule.setup("fit")
    train = Loader(datamodule.train_dataloader, seed=seed, stage="train")
    val = validation_data(getattr(datamodule, "val_dataloader", lambda: None), seed)
    train.take_along(val, datamodule)
    if train.batches() == 0:
        raise no_batches()
    for name, each in val.by_name().items():
        if each and each.batches() == 0:
            which = f" `{name}`" if name else ""
            log.warning(
                "the validation data%s are empty, so nothing is validated: give `val` samples, or leave it out", which
            )
    return train, val


def settle_weights(
    parts: Parts, saved: dict[str, Any] | None, train: Loader, accelerator: Accelerator, sources: Sequence[Source] = ()
) -> Iterator[Any] | None:
    """Load the weights, or infer lazy widths from the first batch; return the epoch that this began, if it did.

    A model whose widths were inferred starts from `sources` then; another one already has.
    """
    from otrainer.model.lazy import has_lazy, materialize  # with it comes all that compiles models

    if saved is not None:
        checkpoint.load_model_state(parts.model, saved)
    if saved is not None or not has_lazy(parts.model):
        return None
    batches = train.epoch(0)
    first = next(batches, None)
    if first is None:
        raise no_batches()
    inputs, _, _ = parts.io.split(accelerator.move(first), stage="train")  # the widths come before the precision
    with attributes_kept((parts.model,)):
        materialize(parts.model, inputs.args, inputs.kwargs)
    start_from(parts.model, sources)
    return chain([first], batches)


def no_batches() -> ConfigError:
    message = "The training data yielded no batch, so there is nothing to train on."
    hint = "Check the data's sizes: with `drop_last`, fewer samples than one batch give none."
    return ConfigError(message, title="no training data", config_path=("data",), hint=hint)

"""What `trainer.default` trains with: every part of a run on its device, fresh or as a checkpoint left it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import chain
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch

from otrainer.diagnostics.drawing import draw, draw_error
from otrainer.diagnostics.exceptions import unexplained
from otrainer.diagnostics.redaction.exceptions import hide_in
from otrainer.engine import checkpoint
from otrainer.engine.accelerator import Accelerator
from otrainer.engine.checkpoint.part_state import Baseline, warn_of_restarts
from otrainer.engine.data.loader import Loader
from otrainer.engine.loss_check import LossWatch
from otrainer.engine.schedule import build_schedule
from otrainer.engine.signals import StopRequest, current_stop_request
from otrainer.engine.state import RunContext, RunSettings, TrainState
from otrainer.errors import ConfigError, Finding
from otrainer.model.lazy import has_lazy, materialize
from otrainer.protocols import HOOKS
from otrainer.registry.contracts import breaches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

log = logging.getLogger("otrainer")
PRINTS_TRACEBACKS = ("torch._subclasses.fake_tensor",)  # of what the compiler then raises anyway


@dataclass
class Session:
    """A run under way: its context, and what only the loop needs. `forward` is the model, compiled where asked for."""

    ctx: RunContext
    accelerator: Accelerator
    val: Loader
    bundle: Any
    stop: StopRequest
    parameters: list[torch.nn.Parameter]
    forward: Callable[..., Any]
    watch: LossWatch
    first_epoch: Iterator[Any] | None = None

    def __post_init__(self) -> None:
        # Those that look at the others' work (checkpoints) come last.
        ordered = sorted(self.ctx.callbacks, key=lambda callback: bool(getattr(callback, "runs_last", False)))
        self._hooks = {
            name: [method for callback in ordered if (method := getattr(callback, name, None)) is not None]
            for name in HOOKS
        }
        # Whether a step that is left out leaves the scheduler's turn out too.
        self.steps_schedule = self.bundle is not None and self.bundle.interval == "step"

    def hook(self, name: str) -> None:
        """Call a hook of every callback that has it."""
        for method in self._hooks[name]:
            method(self.ctx)

    def clear_gradients(self) -> None:
        """What `zero_grad` does, for a fifth of its time; for an optimizer with one of its own, that one."""
        optimizer = self.ctx.optimizer
        if type(optimizer).zero_grad is not torch.optim.Optimizer.zero_grad:
            optimizer.zero_grad(set_to_none=True)
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def hook_exception(self, exc: BaseException) -> None:
        """Call `on_exception` on every callback; one that fails itself hides neither `exc` nor the others.

        They may write it down, so it holds no secret any more.
        """
        hide_in(exc)
        for callback in self.ctx.callbacks:
            try:
                if hasattr(callback, "on_exception"):
                    callback.on_exception(self.ctx, exc)
            except ConfigError as failed:
                log.error("%s", draw_error(failed))  # noqa: TRY400 - it says all by itself
            except Exception as failed:  # noqa: BLE001 - the first error is the one that is raised
                told = draw(unexplained(failed, after=exc))
                log.error("on_exception of %s failed as well: %s", type(callback).__qualname__, told)  # noqa: TRY400

    def log(self, metrics: dict[str, float], stage: str) -> None:
        """Hand a row to every logger that takes rows."""
        for logger in self.ctx.loggers:
            if hasattr(logger, "log_metrics"):
                logger.log_metrics(metrics, step=self.ctx.state.global_step, stage=stage)

    def epoch(self) -> Iterator[Any]:
        """What is left of the current epoch's training batches, on the device."""
        batches, self.first_epoch = self.first_epoch, None
        if batches is None:
            state = self.ctx.state
            batches = self.ctx.train.epoch(state.epoch, state.micro_step_in_epoch)
        return self.accelerator.placed(batches, ahead=not self.ctx.train.is_stateful)

    def give_up(self) -> None:
        """Load no more data: whoever stopped training shall not wait for it."""
        self.ctx.train.give_up()
        self.val.give_up()

    def close(self) -> None:
        for logger in self.ctx.loggers:
            if hasattr(logger, "close"):
                logger.close()


def begin(
    *,
    model: torch.nn.Module,
    datamodule: Any,
    io: Any,
    loss: Any,
    optimizer_factory: Any,
    scheduler_factory: Any,
    metrics: Sequence[Any] | None,
    callbacks: Sequence[Any] | None,
    loggers: Sequence[Any] | None,
    registry: Any,
    run: Any,
) -> Session:
    """Put everything in its place: data, model, optimizer, scheduler, and what `run.resume_from` holds.

    Raises ConfigError where a part cannot be built or does not fit the checkpoint.
    """
    run = RunSettings.of(run)
    check_hooks(callbacks or (), loggers or ())
    check_metric_names(metrics or ())
    parts = resumed_parts(run)
    accelerator = Accelerator(run.device, run.precision)
    if hasattr(datamodule, "setup"):
        datamodule.setup("fit")
    train = Loader(datamodule.train_dataloader, seed=run.seed, stage="train")
    make_val = getattr(datamodule, "val_dataloader", lambda: None)
    val = Loader(make_val, seed=run.seed, stage="val")

    model.to(accelerator.device)
    place_loss(loss, accelerator.device)
    first_epoch = None
    if parts is not None:
        checkpoint.load_model_state(model, parts)
    elif has_lazy(model):
        first_epoch = materialize_with_first_batch(model, train.epoch(0), io, accelerator)
    optimizer = optimizer_factory.build(model, registry=registry)
    bundle = build_schedule(scheduler_factory, optimizer, registry)

    watched = [*(callbacks or ()), *(metrics or ()), *(loggers or ()), loss]
    ctx = RunContext(
        run=run,
        state=TrainState(),
        device=accelerator.device,
        model=model,
        optimizer=optimizer,
        scheduler=bundle.scheduler if bundle is not None else None,
        datamodule=datamodule,
        train=train,
        io=io,
        loss=loss,
        metrics=list(metrics or ()),
        callbacks=list(callbacks or ()),
        loggers=list(loggers or ()),
        registry=registry,
        scaler=accelerator.scaler,
        baseline=Baseline(watched),
        built=checkpoint.hyperparameters(optimizer, bundle.scheduler if bundle is not None else None),
    )
    warn_of_restarts(watched, ctx.baseline)
    if parts is not None:
        checkpoint.restore(ctx, parts)
        run.progress.continued_from = ctx.state.global_step
    checkpoint.check_loadable(ctx)
    run.progress.state = ctx.state
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Session(
        ctx=ctx,
        accelerator=accelerator,
        val=val,
        bundle=bundle,
        stop=current_stop_request(),
        parameters=parameters,
        forward=compiled(model, run),
        watch=LossWatch(accelerator.device, ctx.state),
        first_epoch=first_epoch,
    )


def compiled(model: torch.nn.Module, run: RunSettings) -> Callable[..., Any]:
    """The model as the loop calls it: by torch.compile if `run.compile` is true, or holds arguments for it."""
    if not run.compile:
        return model
    for name in PRINTS_TRACEBACKS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    options = {} if run.compile is True else dict(run.compile)
    call: Callable[..., Any] = torch.compile(model, **options)
    return call


def check_hooks(callbacks: Sequence[Any], loggers: Sequence[Any]) -> None:
    """Raise a ConfigError for every method that is named like a hook but is none; classes in a registry had theirs."""
    findings = [
        Finding(breach.message, "unknown hook", (section, index), None, False, breach.suggestions, breach.hint)
        for section, prefix, parts in (("callbacks", "cb.", callbacks), ("loggers", "log.", loggers))
        for index, part in enumerate(parts)
        for breach in breaches(prefix, with_own_methods(part))
    ]
    if findings:
        raise ConfigError.of(findings)


def check_metric_names(metrics: Sequence[Any]) -> None:
    """Raise a ConfigError where two metrics of one class would log under one name."""
    seen: dict[tuple[type, str], int] = {}
    for index, metric in enumerate(metrics):
        name = getattr(metric, "name", None)
        if isinstance(name, str) and seen.setdefault((type(metric), name), index) != index:
            raise ConfigError(
                f"Two metrics would log as `{name}`.",
                title="metrics of one name",
                config_path=("metrics", index),
                hint="Give one of them a `name` of its own.",
            )


def with_own_methods(part: Any) -> type:
    """The class of an object, or one that has what the object was given by itself."""
    own = {name: value for name, value in getattr(part, "__dict__", {}).items() if isinstance(value, FunctionType)}
    return (
        type(type(part).__name__, (), {name: staticmethod(value) for name, value in own.items()}) if own else type(part)
    )


def resumed_parts(run: RunSettings) -> dict[str, Any] | None:
    """The checkpoint that `run.resume_from` names; an error is drawn there if the config says so itself."""
    if run.resume_from is None:
        return None
    try:
        return checkpoint.load_checkpoint(run.resume_from)
    except ConfigError as error:
        asked = ((run.config or {}).get("run") or {}).get("resume_from") is not None
        raise error.at_least(("run", "resume_from") if asked else ()) from error.__cause__


def place_loss(loss: Any, device: torch.device) -> None:
    """Move a loss that is a module, or holds some, to the device."""
    for part in (loss, *getattr(loss, "__dict__", {}).values()):
        if isinstance(part, torch.nn.Module):
            part.to(device)


def materialize_with_first_batch(
    model: torch.nn.Module, batches: Iterator[Any], io: Any, accelerator: Accelerator
) -> Iterator[Any]:
    """Infer lazy widths from the first batch, and give the epoch back with that batch still in it."""
    first = next(batches, None)
    if first is None:
        raise no_batches()
    inputs, _, _ = io.split(accelerator.place(first), stage="train")
    materialize(model, inputs.args, inputs.kwargs)
    return chain([first], batches)


def no_batches() -> ConfigError:
    return ConfigError(
        "The training data yielded no batch, so there is nothing to train on.",
        title="no training data",
        config_path=("data",),
        hint="Check the data's sizes: with `drop_last`, fewer samples than one batch give none.",
    )

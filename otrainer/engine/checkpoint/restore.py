"""Put a run back to where its checkpoint left it, after checking that the two fit each other."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.nn.modules.lazy import LazyModuleMixin

from otrainer.engine.averaging import averaged_buffers
from otrainer.engine.checkpoint.buffers import fitting, make_room
from otrainer.engine.checkpoint.compare import marked_lost
from otrainer.engine.checkpoint.compatible import check_built, check_model, model_misfit
from otrainer.engine.checkpoint.encode import Encoder
from otrainer.engine.checkpoint.flags import set_flags
from otrainer.engine.checkpoint.form import refuse_unlike
from otrainer.engine.checkpoint.lists import load_again, load_by_hooks, load_lists
from otrainer.engine.checkpoint.load import load_checkpoint
from otrainer.engine.checkpoint.load_optimizer import load_optimizer
from otrainer.engine.checkpoint.optimizer_state import IMPLEMENTATION, OptimizerState
from otrainer.engine.checkpoint.parameters import names_in_groups, plain
from otrainer.engine.checkpoint.part_state import decoded, load_model_attributes, load_part, taking
from otrainer.engine.checkpoint.recompute import recompute
from otrainer.engine.checkpoint.save import with_flags
from otrainer.engine.checkpoint.secrets import revealed
from otrainer.engine.logs import load_logs
from otrainer.engine.modes import train_on
from otrainer.engine.optimizer import build_optimizer, members
from otrainer.engine.schedule import build_schedules
from otrainer.engine.seed import set_random_state
from otrainer.engine.state import TrainState

if TYPE_CHECKING:
    import torch

    from otrainer.engine.parts import Parts
    from otrainer.engine.schedule import Schedule
    from otrainer.engine.state import RunContext


def check_fits(path: str | Path, trainer: Any, parts: Parts) -> None:
    """Raise ConfigError where a checkpoint does not fit the parts of a run, or its trainer.

    Nothing is changed by it, but that a lazy model takes its widths from the checkpoint, as it will anyway.
    """
    from otrainer.model.lazy import has_lazy, random_states_kept  # with it comes all that compiles models

    saved = revealed(load_checkpoint(path))
    if hasattr(trainer, "check_progress"):
        state = TrainState()
        state.load_state_dict(saved["train_state"])
        trainer.check_progress(state)
    check_model(parts.model, saved)
    if has_lazy(parts.model):
        load_model_state(parts.model, saved)
    with random_states_kept():
        optimizer = build_optimizer(parts)
        factory = parts.scheduler_factory
        factories = factory.values() if isinstance(factory, Mapping) else (factory,)
        # The data, which say how long the run is, are there only once training begins.
        needs_data = any(getattr(each, "needs_length", False) for each in factories)
        schedule = build_schedules(None if needs_data else factory, optimizer, parts.registry)
    built = hyperparameters(optimizer, schedule, parts)
    if needs_data:  # nor is the optimizer as a scheduler leaves it: `restore` compares all of it
        kept = saved["meta"]["built"]
        built |= {name: kept.get(name) for name in ("scheduler", "rhythm")}
        built["optimizer"]["groups"] = kept["optimizer"].get("groups")
    check_built(built, saved)
    saved_optimizer(optimizer, saved).plan(optimizer, parts)


def load_model_state(model: torch.nn.Module, parts: dict[str, Any]) -> None:
    """Load the weights; raises ConfigError that names what does not fit."""
    parts = revealed({name: parts[name] for name in ("model", "meta")})
    check_model(model, parts)
    state = decoded(model, parts["model"], ("model",))
    make_room(model, fitting(model, parts["meta"].get("reshaped", {})), state)
    try:
        model.load_state_dict(state)
    except RuntimeError as cause:
        raise model_misfit([str(cause)]) from cause
    if any(isinstance(module, LazyModuleMixin) for module in model.modules()):
        from otrainer.model.lazy import finish  # with it comes all that compiles models

        finish(model)


def load_trained(model: torch.nn.Module, parts: dict[str, Any]) -> None:
    """Load the weights that are trained on, where those for use are others."""
    values = iter(decoded(model, parts.get("trained") or [], ("model",)))
    known = dict(model.named_parameters(remove_duplicate=False))
    names = [name for group in (parts["parameters"]["names"] if parts.get("trained") else ()) for name in group]
    for name, value in zip(names, values, strict=False):
        if name and name[0] == "model":
            known[name[1]].data.copy_(value)
    for buffer, value in zip(averaged_buffers(model).values(), values, strict=False):  # where they are averaged too
        buffer.copy_(value)


def restore(ctx: RunContext, parts: dict[str, Any]) -> None:
    """Put everything but the weights back to where the checkpoint has it.

    Raises ConfigError where optimizer, scheduler, callbacks, metrics or loggers cannot take their part, and for secrets
    in it that the config no longer names.
    """
    parts = revealed(parts)
    unchanged = check_built(ctx.built, parts)
    saved = saved_optimizer(ctx.optimizer, parts)
    load_optimizer(ctx.optimizer, saved, saved.plan(ctx.optimizer, ctx), unchanged=unchanged)
    if ctx.scheduler is not None:
        # It has stepped before, in another process: torch would warn of a scheduler that goes first.
        ctx.optimizer._opt_called = parts["train_state"]["global_step"] > 0  # type: ignore[attr-defined]
        if unchanged:
            state = decoded(ctx.scheduler, parts["scheduler"], ("scheduler",))
            with taking(ctx.scheduler, ("scheduler",)):
                refuse_unlike(ctx.scheduler.state_dict(), state)
                ctx.scheduler.load_state_dict(state)
        else:
            recompute(ctx, parts)
    if ctx.scaler is not None and parts["scaler"] is not None:
        with taking(ctx.scaler, ("scaler",)):
            ctx.scaler.load_state_dict(parts["scaler"])
    load_lists(ctx, parts)
    # A schedule of another rhythm was put to where the run stands, this turn included.
    ctx.turns.scheduler &= ctx.built["rhythm"] == parts["meta"]["built"].get("rhythm")
    ctx.baseline.resumed = parts["callbacks"]
    load_model_attributes(ctx, parts.get("attributes", {}))
    load_part(ctx.loss, parts["loss"], ctx, ("loss",))
    load_part(ctx.io, parts["io"], ctx, ("io",))
    load_part(ctx.datamodule, parts["data"]["module"], ctx, ("data",))
    with taking(ctx.train, ("data",)):
        ctx.train.load_state_dict(decoded(ctx.train, parts["data"]["train"], ("data",)))
    ctx.state.load_state_dict(parts["train_state"])
    with taking(ctx.state, ("logs",)):
        load_logs(ctx, decoded(None, parts.get("logs") or {}, ("logs",)))
    if trained := parts.get("trained"):
        with taking(ctx.optimizer, ("optimizer",)):
            train_on(ctx, trained)
    if not ctx.state.epoch_complete:
        with taking(ctx.train, ("data",)):
            ctx.state.micro_step_in_epoch = ctx.train.position(ctx.state.micro_step_in_epoch)
    if parts["meta"].get("definition") != ctx.run.definition:
        ctx.should_stop = False  # it was to end under another config
    for name, part in with_flags(ctx).items():
        set_flags(part, parts["flags"].get(name, {}))
    load_by_hooks(ctx, parts["callbacks"])
    with taking(ctx.state, ("rng",)):
        set_random_state(parts["rng"])


def begin_state(ctx: RunContext) -> None:
    """Take in what `on_fit_start` made of the callbacks; what they had changed since then is theirs again."""
    ctx.baseline.begin(ctx)
    if ctx.baseline.resumed is not None:
        load_again(ctx, ctx.baseline.resumed)
        ctx.baseline.resumed = None


def hyperparameters(optimizer: Any, schedule: Schedule, parts: Any) -> dict[str, Any]:
    """Return what a new optimizer and scheduler are made with; a resume takes it from the config, not from the file.

    `parameters` are the names of those that the optimizer is built over; they may change by name.
    """
    skipped = ("params", *IMPLEMENTATION)
    groups = [{key: value for key, value in group.items() if key not in skipped} for group in optimizer.param_groups]
    scheduler = schedule.scheduler
    facts = {
        "optimizer": {"class": class_of(optimizer), "groups": groups},
        "scheduler": scheduler and {"class": type(scheduler).__qualname__, "state": scheduler.state_dict()},
        "rhythm": schedule.rhythm,
        "on_resume": schedule.on_resume,
        "parameters": plain(names_in_groups(optimizer, parts)),
    }
    return copy.deepcopy(marked_lost(Encoder().encode(facts)))


def class_of(optimizer: Any) -> str:
    """Return the name of an optimizer's class, or those of several."""
    named = {name: type(each).__qualname__ for name, each in members(optimizer).items()}
    return named[""] if "" in named else ", ".join(f"{name}: {cls}" for name, cls in sorted(named.items()))


def saved_optimizer(optimizer: Any, parts: dict[str, Any]) -> OptimizerState:
    """Return the optimizer's state in a checkpoint, with the names of its parameters where it has them."""
    state = decoded(optimizer, parts["optimizer"], ("optimizer",))
    return OptimizerState(state, parts["parameters"], parts["meta"]["built"].get("parameters"))

"""Load the state of a run's components: by their `load_state_dict`, or into their attributes."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from otrainer.engine.attributes import USUAL
from otrainer.engine.checkpoint.baseline import saves_by_hooks
from otrainer.engine.checkpoint.decode import UNMAKEABLE, Decoder, Missing, NotSavedError
from otrainer.engine.checkpoint.encode import LOST, is_marked
from otrainer.engine.checkpoint.kinds import LostError
from otrainer.engine.checkpoint.made_again import Reading, UnlikeError, is_own
from otrainer.engine.tree import children
from otrainer.errors import ConfigError, ConfigPath, dotted

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

log = logging.getLogger("otrainer")


def load_part(part: Any, state: Mapping[str, Any] | None, ctx: RunContext, where: ConfigPath) -> None:
    """Give a component back what `Baseline.state_of` kept of it.

    An attribute that cannot be made again is told, and stays as it is; not yet one that training had changed, which a
    callback takes in once more after its `on_fit_start`. Raises ConfigError where that is so of what a
    component is to load itself.
    """
    if state is None or saves_by_hooks(part):
        return  # which see the run, and so come once it is as it was
    reading = Reading(ctx, part)
    if "attributes" in state:
        load_attributes(part, state["attributes"], reading, where, silent=state.get("trained", ()))
    elif "module" in state:
        with restoring(part, where):
            reading.load_module(part, {**state["module"], "state": state["state_dict"]})
    elif callable(getattr(part, "load_state_dict", None)) and "state_dict" in state:
        found = decoded(part, state["state_dict"], where, reading.decoder)
        with taking(part, where) if is_own(part) else nullcontext():
            part.load_state_dict(found)


def load_attributes(
    part: Any, attributes: Mapping[str, Any], reading: Reading, where: ConfigPath, *, silent: Collection[str] = ()
) -> None:
    for name, data in attributes.items():
        try:
            with taking(part, where, UnlikeError):
                reading.put(part, name, data)
        except NotSavedError:
            continue  # told when it was not
        except LostError as cause:
            if name in silent:
                continue
            place = type(part).__qualname__, dotted(where)
            log.warning("`%s` of `%s` (%s) %s. It goes on as a new one has it.", name, *place, cause)


def load_model_attributes(ctx: RunContext, attributes: Mapping[str, Mapping[str, Any]]) -> None:
    """Give the modules of the model back what changed in their attributes; those that are gone are left."""
    modules = dict(ctx.model.named_modules())
    for name in attributes.keys() & modules.keys():
        where = ("model", *name.split(".")) if name else ("model",)
        own = {key: value for key, value in attributes[name].items() if key not in USUAL}
        load_attributes(modules[name], own, Reading(ctx, modules[name]), where)


def decoded(part: Any, data: Any, where: ConfigPath, decoder: Decoder | None = None) -> Any:
    """Return what a part of the run is to load; what could not be saved is as a new one returns it."""
    fresh = part.state_dict() if has_lost(data) else Missing
    with restoring(part, where):
        return (decoder or Decoder()).decode(data, fresh)


def has_lost(data: Any) -> bool:
    return is_marked(data, LOST) or any(has_lost(item) for _, item in children(data) or ())


@contextmanager
def taking(
    part: Any, where: ConfigPath, kinds: type[Exception] | tuple[type[Exception], ...] = UNMAKEABLE
) -> Iterator[None]:
    """Let what a part of ours or of torch's does not take be told as such: it comes from the checkpoint."""
    try:
        yield
    except kinds as cause:
        kind = type(cause).__name__
        message = f"The checkpoint's state of `{type(part).__qualname__}` is not what that takes ({kind}: {cause})."
        hint = "Continue from another checkpoint, or train from the start."
        raise ConfigError(message, title="state cannot be restored", config_path=where, hint=hint) from cause


@contextmanager
def restoring(part: Any, where: ConfigPath) -> Iterator[None]:
    try:
        yield
    except LostError as cause:
        message = f"In the checkpoint's state of `{type(part).__qualname__}`, a value {cause}."
        hint = "Bring back what it was made of, or train from the start."
        raise ConfigError(message, title="state cannot be restored", config_path=where, hint=hint) from cause

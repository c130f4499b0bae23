"""Take the whole state of a run, and write it as a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.checkpoint.compare import lost_in
from otrainer.engine.checkpoint.encode import Encoder
from otrainer.engine.checkpoint.forms import FORMAT
from otrainer.engine.checkpoint.held import LISTS, Writing
from otrainer.engine.checkpoint.lists import states_of
from otrainer.engine.checkpoint.parameters import described
from otrainer.engine.checkpoint.plain import NotPlainError
from otrainer.engine.checkpoint.secrets import concealed
from otrainer.engine.checkpoint.snapshot import map_tensors
from otrainer.engine.checkpoint.writer import write_checkpoint
from otrainer.engine.logs import logs_state
from otrainer.engine.modes import weights_for_use
from otrainer.engine.seed import random_state
from otrainer.errors import ConfigError, ConfigPath, dotted

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext


def capture(ctx: RunContext) -> dict[str, Any]:
    """Return the whole state of a run between two steps, with references in place of secrets.

    What no file can hold of it is told and left out. Raises ConfigError for a secret inside a tensor.
    """
    writing, keep = Writing(ctx, ctx.baseline.there), ctx.baseline
    for name, part in with_flags(ctx).items():
        keep.tell_weights(name, part)
    keep.tell_unsaved(ctx)
    state = {
        **weights(ctx),
        **{name: keep.data_of(getattr(ctx, name), name) for name in ("optimizer", "scheduler", "scaler")},
        "attributes": keep.attributes_of(ctx.model, writing),
        "parameters": described(ctx.optimizer, ctx),
        **{section: states_of(ctx, section, writing) for section in LISTS},
        "loss": keep.state_of(ctx.loss, ("loss",), writing),
        "io": keep.state_of_data(ctx.io, "io", writing),
        "data": {
            "module": keep.state_of_data(ctx.datamodule, "data", writing),
            "train": keep.data_of(ctx.train, "data"),
        },
        "flags": {name: ctx.baseline.changed_flags(name, part) for name, part in with_flags(ctx).items()},
        "train_state": ctx.state.state_dict(),
        "logs": Encoder().encode(logs_state(ctx)),
        "turns": ctx.turns.state_dict(),
        "rng": random_state(),
        "meta": {
            "format": FORMAT,
            "torch": str(torch.__version__),
            "definition": ctx.run.definition,
            "built": ctx.built,
            "reshaped": keep.reshaped(ctx.model),
        },
    }
    return concealed(state, ctx.run.config)


def weights(ctx: RunContext) -> dict[str, Any]:
    """Return the model's state; under an optimizer with modes as it is for use, beside the weights that are trained."""
    with weights_for_use(ctx) as trained:
        model = ctx.baseline.data_of(ctx.model, "model")
        if not trained:
            return {"model": model}
        return {"model": map_tensors(model, lambda _, tensor: tensor.detach().clone()), "trained": trained}


def with_flags(ctx: RunContext) -> dict[str, Any]:
    """Return the parts whose modules have modes, and parameters that train or not."""
    return {"model": ctx.model, "loss": ctx.loss}


def save_checkpoint(path: str | Path, ctx: RunContext) -> None:
    """Write the state of a run durably: the file at `path` is the old one or the new one, whole, at any instant.

    Raises ConfigError where it cannot be written, or must not: see `write_checkpoint`.
    """
    write_checkpoint(capture(ctx), (Path(path),))


def check_loadable(ctx: RunContext) -> None:
    """Raise ConfigError now for weights that no checkpoint can hold; other state is told when it matters."""
    for path, lost in lost_in(Encoder().encode(ctx.model.state_dict()), None):
        raise not_loadable(NotPlainError(("model", *path), lost.value), ctx)


@contextmanager
def naming_component(ctx: RunContext) -> Iterator[None]:
    """Re-raise NotPlainError as a ConfigError that names the component whose state cannot be saved."""
    try:
        yield
    except NotPlainError as cause:
        raise not_loadable(cause, ctx) from cause


def not_loadable(cause: NotPlainError, ctx: RunContext) -> ConfigError:
    section, *inside = cause.path
    found = ctx.loss if section == "loss" else getattr(ctx, str(section), None)
    config_path: ConfigPath = (str(section),)
    if isinstance(found, list) and inside:
        index = int(inside.pop(0))
        found, config_path = found[index], (str(section), index)
    what = dotted(step for step in inside if step not in ("state", "state_dict", "attributes"))
    whose = f"the {section}" if found is None else f"`{type(found).__qualname__}`"
    kind = type(cause.value).__qualname__
    return ConfigError(
        f"{whose} keeps {f'`{what}`, ' if what else ''}a value of type `{kind}`, which no checkpoint can hold.",
        title="state cannot be saved",
        config_path=config_path,
        hint="`state_dict()` returns tensors, numbers, texts, and lists, tuples and dicts of them; an array goes in as "
        "`torch.from_numpy(array)`.",
    )

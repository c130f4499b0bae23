"""Callbacks, metrics and loggers, matched with those of a checkpoint by what they are, not by where they stand."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint.baseline import saves_by_hooks
from otrainer.engine.checkpoint.held import LISTS, Writing
from otrainer.engine.checkpoint.identity import matched
from otrainer.engine.checkpoint.made_again import Reading
from otrainer.engine.checkpoint.part_state import decoded, load_part

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

log = logging.getLogger("otrainer")


def states_of(ctx: RunContext, section: str, writing: Writing) -> list[dict[str, Any]]:
    """Return one entry a component, in order: what it is, and its state; of a metric also what it saw too early.

    `turn` says of callbacks and loggers that they are still to have theirs after this step; see `Turns`.
    """
    waiting = getattr(ctx.turns, section, ())
    return [
        {
            **ctx.baseline.identity_of(part),
            "state": ctx.baseline.state_of(part, (section, index), writing),
            **({"ahead": ctx.metrics_ahead[index]} if section == "metrics" and ctx.metrics_ahead[index] else {}),
            **({"turn": True} if index in waiting else {}),
        }
        for index, part in enumerate(getattr(ctx, section))
    ]


def load_lists(ctx: RunContext, parts: Mapping[str, Any]) -> None:
    """Load the state of each component that the checkpoint knows; tell which begin anew, and what state is left."""
    ctx.turns.load_state_dict(parts.get("turns", {}))
    for section in LISTS:
        now, kept = getattr(ctx, section), parts[section]
        found = matched([ctx.baseline.identity_of(part) for part in now], kept)
        if section != "metrics":
            setattr(ctx.turns, section, [index for index, place in found.items() if kept[place].get("turn")])
        for index, part in enumerate(now):
            if index in found:
                load_part(part, kept[found[index]]["state"], ctx, (section, index))
                if section == "metrics":
                    ctx.metrics_ahead[index] = kept[found[index]].get("ahead", 0)
            else:
                name = type(part).__qualname__
                log.warning("`%s` (%s[%d]) is not in the checkpoint, and begins anew.", name, section, index)
        for place, state in enumerate(kept):
            if place not in found.values() and has_state(state["state"]):
                left = state["class"], section
                log.warning("The checkpoint's state of `%s` is left: it is not among this config's %s.", *left)


def load_again(ctx: RunContext, kept: Sequence[Any]) -> None:
    """Load what callbacks had changed since their `on_fit_start`, which has just begun them anew."""
    now = ctx.callbacks
    for index, place in matched([ctx.baseline.identity_of(part) for part in now], kept).items():
        state = kept[place]["state"] or {}
        trained = {name: item for name, item in state.get("attributes", {}).items() if name in state.get("trained", ())}
        load_part(now[index], {"attributes": trained}, ctx, ("callbacks", index))
        ctx.baseline.went_on(now[index], tuple(trained))


def load_by_hooks(ctx: RunContext, kept: Sequence[Any]) -> None:
    """Let callbacks go on from what they saved by `on_save`, now that all else is as it was."""
    for index, place in matched([ctx.baseline.identity_of(part) for part in ctx.callbacks], kept).items():
        part, state = ctx.callbacks[index], kept[place]["state"] or {}
        if saves_by_hooks(part) and "state_dict" in state:
            decoder = Reading(ctx, part).decoder
            part.on_load(ctx, decoded(None, state["state_dict"], ("callbacks", index), decoder))


def has_state(state: Mapping[str, Any] | None) -> bool:
    return state is not None and any(state.values())

"""What the parts of a checkpoint are made of: somebody else may have written it, and no part sees what it cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from otrainer.engine.checkpoint.forms import BY_PARAMETER, FORMS, LARGEST, READABLE, STRIDED, Each, Maybe, is_count
from otrainer.engine.checkpoint.weights_alone import LEFT_OUT, is_weights_alone
from otrainer.engine.tree import is_tensor, leaves_with_paths
from otrainer.errors import Finding, dotted

# A view may repeat what is stored, as an expanded buffer does; beyond this it only takes memory.
MOST_REPEATED = 1 << 30
PARTS = (
    "model", "optimizer", "scheduler", "scaler", "parameters", "callbacks", "metrics", "loggers", "loss", "io", "data",
    "flags", "train_state", "rng", "meta",
)  # fmt: skip
MOST_TOLD = 4
# Where a scheduler stands whose turn in torch's SequentialLR has not come.
WAITING = -1
COUNTERS = ("epoch", "global_step", "micro_step_in_epoch", "epoch_complete")


def problem_with(parts: Any) -> Finding | None:
    """Return what keeps loaded data from being a checkpoint, in a few words."""
    if not isinstance(parts, dict):
        return Finding("it is no mapping")
    is_alone = is_weights_alone(parts)
    missing = [name for name in PARTS if name not in parts and not (is_alone and name in LEFT_OUT)]
    if missing:
        return Finding(f"it has no part `{missing[0]}`")
    meta, state = parts["meta"], parts["train_state"]
    if not isinstance(meta, dict) or not is_count(meta.get("format")) or meta["format"] not in READABLE:
        return Finding("it is of another format")
    if not isinstance(state, dict) or not set(COUNTERS) <= set(state):
        return Finding("its `train_state` does not say where training stands")
    optimizer = () if is_alone else by_parameter(parts["optimizer"])
    found = list(islice(chain(flaws(parts), optimizer), MOST_TOLD))
    return Finding("; ".join(found)) if found else None


def flaws(parts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is of another kind than it has to be, with the part and the keys that lead to it."""
    for name, form in FORMS.items():
        if name in parts:
            yield from misfits(parts[name], form, (name,))
    for path, leaf in leaves_with_paths(dict(parts), is_tensor):
        if is_tensor(leaf) and (what := flaw_of(leaf)):
            yield f"`{dotted(path)}` {what}"


def misfits(value: Any, form: Any, path: tuple[Any, ...]) -> Iterator[str]:
    """Yield where a value has not the form: a check with its words, a mapping of forms, each or a list of one."""
    if isinstance(form, Maybe):
        if value is not None:
            yield from misfits(value, form.form, path)
    elif isinstance(form, tuple):
        fits, what = form
        if not fits(value):
            yield f"`{dotted(path)}` is {told(value)}, not {what}"
    elif isinstance(form, dict | Each):
        if not isinstance(value, dict):
            yield f"`{dotted(path)}` is {told(value)}, not a mapping"
            return
        yield from misfits_inside(value, form, path)
    elif not isinstance(value, list):
        yield f"`{dotted(path)}` is {told(value)}, not a list"
    else:
        for index, item in enumerate(value):
            yield from misfits(item, form[0], (*path, index))


def misfits_inside(value: dict[Any, Any], form: Any, path: tuple[Any, ...]) -> Iterator[str]:
    """Yield where what a mapping has by its names has not the form, and which names it lacks."""
    if isinstance(form, Each):
        for name, item in value.items():
            yield from misfits(item, form.form, (*path, name))
        return
    for key, inside in form.items():
        name = key.removesuffix("?")
        if name in value:
            yield from misfits(value[name], inside, (*path, name))
        elif name == key:
            yield f"`{dotted(path)}` has no `{name}`"


def refuse_misfits(state: Any, form: Any) -> None:
    """Raise TypeError where the state of a component is not of a form, and say where."""
    if found := list(islice(misfits(state, form, ("state_dict",)), MOST_TOLD)):
        raise TypeError("; ".join(found))


def told(value: Any) -> str:
    """Return what a leaf is, in a few words."""
    if is_tensor(value):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= LARGEST:
        return "a very large number"
    if isinstance(value, str | dict | list | tuple):
        return {str: "a text", dict: "a mapping", list: "a list", tuple: "a tuple"}.get(type(value), "of another kind")
    return repr(value) if value is None or isinstance(value, bool | int | float) else f"a `{type(value).__name__}`"


def flaw_of(tensor: Any) -> str:
    """Say why a tensor can be nobody's; empty where it may be somebody's."""
    if tensor.is_meta:
        return "is a tensor without numbers"
    if str(tensor.layout) != STRIDED:
        return ""  # whoever takes it knows whether it may be sparse
    size = tensor.numel() * tensor.element_size()
    stored = tensor.untyped_storage().nbytes()
    return "is a tensor of more numbers than are stored" if size > max(stored, MOST_REPEATED) else ""


def refuse_unlike(now: Any, saved: Any, path: tuple[Any, ...] = ()) -> None:
    """Raise TypeError where the state of a scheduler has something else in the place of a number, a text or several."""
    key = path[-1] if path else ""
    if isinstance(now, dict) and isinstance(saved, dict):
        for name in now.keys() & saved.keys():
            refuse_unlike(now[name], saved[name], (*path, name))
    elif isinstance(now, list | tuple) and isinstance(saved, list | tuple):
        for index, (one, other) in enumerate(zip(now, saved, strict=False)):
            refuse_unlike(one, other, (*path, index))
    elif key in ("last_epoch", "_step_count") and not is_count(saved) and saved != WAITING:
        raise TypeError(f"`{dotted(path)}` is {told(saved)}, not a whole number from 0")
    elif isinstance(now, int | float) and not isinstance(saved, int | float):
        raise TypeError(f"`{dotted(path)}` is {told(saved)}, not a number")
    elif isinstance(now, str | dict | list | tuple) and not isinstance(saved, type(now)):
        raise TypeError(f"`{dotted(path)}` is {told(saved)}, not {told(now)}")


def setting_in_place_of(mine: Any, saved: Any, is_strict: bool) -> str:
    """Say what a setting of an optimizer has to be, as it is here; empty where it is that."""
    if is_strict and isinstance(mine, bool):
        return "" if isinstance(saved, bool | None) else "true or false"
    if is_strict and isinstance(mine, list | tuple) and mine:
        is_alike = isinstance(saved, list | tuple) and len(saved) == len(mine)
        kinds = [setting_in_place_of(*both, is_strict) for both in zip(mine, saved, strict=True)] if is_alike else []
        return "" if is_alike and not any(kinds) else f"{len(mine)} numbers"
    if isinstance(mine, int | float) or is_tensor(mine):
        is_number = isinstance(saved, int | float) or (is_tensor(saved) and saved.numel() == 1)
        return "" if is_number else "a number"
    return ""


def by_parameter(optimizer: Any) -> Iterator[str]:
    """Yield what is wrong in the state of an optimizer that has the form of torch's own."""
    if isinstance(optimizer, dict) and {"state", "param_groups"} <= optimizer.keys():
        yield from misfits(optimizer, BY_PARAMETER, ("optimizer",))

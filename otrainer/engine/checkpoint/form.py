"""What the parts of a checkpoint are made of: somebody else may have written it, and no part sees what it cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from otrainer.engine.checkpoint.save import READABLE
from otrainer.engine.tree import is_tensor, leaves_with_paths
from otrainer.errors import Finding, dotted

LARGEST = 2**62
# Types and layouts by their names, as this module only looks.
STRIDED, BYTES = "torch.strided", "torch.uint8"
# A view may repeat what is stored, as an expanded buffer does; beyond this it only takes memory.
MOST_REPEATED = 1 << 30
PARTS = (
    "model", "optimizer", "scheduler", "scaler", "parameters", "callbacks", "metrics", "loggers", "loss", "io", "data",
    "flags", "train_state", "rng", "meta",
)  # fmt: skip
MOST_TOLD = 4
COUNTERS = ("epoch", "global_step", "micro_step_in_epoch", "epoch_complete")
Check = Callable[[Any], bool]


def problem_with(parts: Any) -> Finding | None:
    """Return what keeps loaded data from being a checkpoint, in a few words."""
    if not isinstance(parts, dict):
        return Finding("it is no mapping")
    missing = [name for name in PARTS if name not in parts]
    if missing:
        return Finding(f"it has no part `{missing[0]}`")
    meta, state = parts["meta"], parts["train_state"]
    if not isinstance(meta, dict) or not is_count(meta.get("format")) or meta["format"] not in READABLE:
        return Finding("it is of another format")
    if not isinstance(state, dict) or not set(COUNTERS) <= set(state):
        return Finding("its `train_state` does not say where training stands")
    found = list(islice(chain(flaws(parts), deeper_flaws(parts)), MOST_TOLD))
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
    """Yield where a value has not the form: a check with its words, a mapping of forms, or a list of one."""
    if isinstance(form, tuple):
        fits, what = form
        if not fits(value):
            yield f"`{dotted(path)}` is {told(value)}, not {what}"
    elif isinstance(form, dict):
        if not isinstance(value, dict):
            yield f"`{dotted(path)}` is {told(value)}, not a mapping"
            return
        for key, inside in form.items():
            name = key.removesuffix("?")
            if name in value:
                yield from misfits(value[name], inside, (*path, name))
            elif name == key:
                yield f"`{dotted(path)}` has no `{name}`"
    elif not isinstance(value, list):
        yield f"`{dotted(path)}` is {told(value)}, not a list"
    else:
        for index, item in enumerate(value):
            yield from misfits(item, form[0], (*path, index))


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


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def is_truth(value: Any) -> bool:
    return type(value) is bool


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def optional(fits: Check) -> Check:
    return lambda value: value is None or fits(value)


def is_mapping_of(fits: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def is_list_of(fits: Check) -> Check:
    return lambda value: isinstance(value, list | tuple) and all(map(fits, value))


def is_bytes(value: Any) -> bool:
    """Return whether a value is the state of one of torch's generators."""
    return is_tensor(value) and str(value.dtype) == BYTES and value.dim() == 1


def is_words(value: Any) -> bool:
    is_whole = is_tensor(value) and not value.is_floating_point() and not value.is_complex()
    return is_whole and value.dim() == 1 and str(value.layout) == STRIDED


def is_component_state(value: Any) -> bool:
    """Return whether a value has one of the forms in which components keep their state."""
    if value is None:
        return True
    if not isinstance(value, dict) or not isinstance(value.get("attributes", {}), dict):
        return False
    return "module" not in value or (isinstance(value["module"], dict) and "state_dict" in value)


def is_scale(value: Any) -> bool:
    return is_number(value) and math.isfinite(value) and value > 0


def refuse_unlike(now: Any, saved: Any, path: tuple[Any, ...] = ()) -> None:
    """Raise TypeError where the state of a scheduler has something else in the place of a number, a text or several."""
    key = path[-1] if path else ""
    if isinstance(now, dict) and isinstance(saved, dict):
        for name in now.keys() & saved.keys():
            refuse_unlike(now[name], saved[name], (*path, name))
    elif isinstance(now, list | tuple) and isinstance(saved, list | tuple):
        for index, (one, other) in enumerate(zip(now, saved, strict=False)):
            refuse_unlike(one, other, (*path, index))
    elif key in ("last_epoch", "_step_count") and not is_count(saved):
        raise TypeError(f"`{dotted(path)}` is {told(saved)}, not a whole number from 0")
    elif isinstance(now, int | float) and not isinstance(saved, int | float):
        raise TypeError(f"`{dotted(path)}` is {told(saved)}, not a number")
    elif isinstance(now, str | dict | list | tuple) and not isinstance(saved, type(now)):
        raise TypeError(f"`{dotted(path)}` is {told(saved)}, not {told(now)}")


COUNT, TRUTH, TEXT = (is_count, "a whole number from 0"), (is_truth, "true or false"), (is_text, "a text")
NUMBER = (is_number, "a number")
MAPPING, MAPPING_OR_NONE = (is_mapping, "a mapping"), (optional(is_mapping), "a mapping or None")
STATE = (is_component_state, "a component's state")
SIZES = is_list_of(is_list_of(is_list_of(is_count)))
NAMES = (is_list_of(is_list_of(optional(is_list_of(is_text)))), "lists of names")
# What each part has; a key with a question mark may be missing.
COMPONENT = {"class": TEXT, "state": STATE, "ahead?": COUNT, "turn?": TRUTH}
FLAGS = (optional(is_mapping_of(is_mapping_of(is_mapping_of(is_truth)))), "true or false for each name")
FORMS: dict[str, Any] = {
    "model": (lambda value: isinstance(value, dict) and all(isinstance(name, str) for name in value), "a state dict"),
    "scheduler": MAPPING_OR_NONE,
    "scaler": (optional(is_mapping), "a mapping or None"),
    "callbacks": [COMPONENT],
    "metrics": [COMPONENT],
    "loggers": [COMPONENT],
    "loss": STATE,
    "io": STATE,
    "data": {"module": STATE, "train": MAPPING_OR_NONE},
    "flags": FLAGS,
    "attributes": (is_mapping_of(is_mapping), "a mapping of modules to their attributes"),
    "train_state": {
        "epoch": COUNT,
        "global_step": COUNT,
        "micro_step_in_epoch": COUNT,
        "epoch_complete": TRUTH,
        "should_stop?": TRUTH,
    },
    "logs": MAPPING_OR_NONE,
    "turns": {"scheduler?": TRUTH, "row?": TRUTH, "hook?": TEXT},
    "rng": {
        "torch": (is_bytes, "a generator's state"),
        "python": {
            "version": COUNT,
            "words": (is_words, "a generator's state"),
            "gauss": (optional(is_number), "a number or None"),
        },
        "cuda?": [(is_bytes, "a generator's state")],
        "numpy?": {
            "kind": TEXT,
            "words": (is_words, "a generator's state"),
            "position": COUNT,
            "has_gauss": COUNT,
            "gauss": NUMBER,
        },
    },
    "meta": {
        "definition?": (optional(is_text), "a text or None"),
        "built": {"optimizer": {"class": TEXT}, "scheduler": MAPPING_OR_NONE, "rhythm?": MAPPING_OR_NONE},
        "reshaped?": (
            is_mapping_of(optional(is_list_of(is_count))),
            "a mapping of names to shapes",
        ),
    },
}
PARAMETERS = {"names": NAMES, "shapes": (SIZES, "lists of shapes")}
SCALER = {
    "scale?": (is_scale, "a positive number"),
    "growth_factor?": NUMBER,
    "backoff_factor?": NUMBER,
    "growth_interval?": COUNT,
}


def deeper_flaws(parts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong in parts that may be missing: the names of parameters, and the scaler."""
    for name, form in {"parameters": PARAMETERS, "scaler": SCALER}.items():
        if parts.get(name) is not None:
            yield from misfits(parts[name], form, (name,))
    optimizer = parts.get("optimizer")
    if isinstance(optimizer, dict) and {"state", "param_groups"} <= optimizer.keys():
        groups = [{"params": (is_list_of(is_count), "a list of numbers")}]
        yield from misfits(optimizer["param_groups"], groups, ("optimizer", "param_groups"))
        yield from misfits(optimizer["state"], MAPPING, ("optimizer", "state"))

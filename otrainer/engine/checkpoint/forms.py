"""What is in the place of what: the form of each part of a checkpoint, and of the states of otrainer's components."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from otrainer.engine.tree import is_tensor

FORMAT = 3
READABLE = (2, FORMAT)
LARGEST = 2**62
# Types and layouts by their names, as this module only looks.
STRIDED, BYTES = "torch.strided", "torch.uint8"
Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Each:
    """A mapping of any names, each to a value of one form."""

    form: Any


@dataclass(frozen=True)
class Maybe:
    """A value of a form, or None."""

    form: Any


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def is_duration(value: Any) -> bool:
    return is_number(value) and 0 <= value < LARGEST


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


def is_place(value: Any) -> bool:
    """Return whether a value says the number of a parameter, and the name of what is kept of it."""
    return isinstance(value, list | tuple) and len(value) == 2 and is_count(value[0]) and is_text(value[1])


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


def is_one_number(value: Any) -> bool:
    """Return whether a value is a number as steps log it: what is none of Python's or torch's is marked."""
    is_one = is_tensor(value) and value.numel() == 1 and not value.is_complex() and str(value.layout) == STRIDED
    return is_one or isinstance(value, int | float | dict)


def is_anything(value: Any) -> bool:
    return True


def is_scale(value: Any) -> bool:
    return is_number(value) and math.isfinite(value) and value > 0


COUNT, TRUTH, TEXT = (is_count, "a whole number from 0"), (is_truth, "true or false"), (is_text, "a text")
NUMBER = (is_number, "a number")
ONE_NUMBER = (is_one_number, "one number")
MAPPING, MAPPING_OR_NONE = (is_mapping, "a mapping"), Maybe((is_mapping, "a mapping"))
ANYTHING = (is_anything, "anything")
STATE = (is_component_state, "a component's state")
SIZES = is_list_of(is_list_of(is_list_of(is_count)))
NAMES = (is_list_of(is_list_of(optional(is_list_of(is_text)))), "lists of names")
# What each part has; a key with a question mark may be missing.
COMPONENT = {"class": TEXT, "state": STATE, "ahead?": COUNT, "turn?": TRUTH}
GENERATOR_STATE, WORDS = (is_bytes, "a generator's state"), (is_words, "a generator's state")
RNG = {
    "torch": GENERATOR_STATE,
    "python": {"version": COUNT, "words": WORDS, "gauss": Maybe(NUMBER)},
    "cuda?": [GENERATOR_STATE],
    "numpy?": {
        "kind": TEXT,
        "words": WORDS,
        "position": COUNT,
        "has_gauss": COUNT,
        "gauss": NUMBER,
    },
}
GENERATORS = Each({"kind": TEXT, "state": ANYTHING})
READ = {
    "stream?": Maybe(RNG),
    "epoch?": Maybe(COUNT),
    "generators?": {"beginning": GENERATORS, "now": GENERATORS},
    "facts?": MAPPING_OR_NONE,
    "at_end?": TRUTH,
}
ROWS = {"rows": [Each(ONE_NUMBER)], "weights?": Maybe([ONE_NUMBER]), "rates?": [ONE_NUMBER], "norms?": Each(ONE_NUMBER)}
FLAGS = (is_mapping_of(is_mapping_of(is_mapping_of(is_truth))), "true or false for each name")
PARAMETERS = {
    "names": NAMES,
    "shapes": (SIZES, "lists of shapes"),
    "trains?": (is_list_of(is_list_of(is_truth)), "lists of true or false"),
    "beside?": (is_list_of(is_place), "pairs of a number and a name"),
}
SCALER = {
    "scale?": (is_scale, "a positive number"),
    "growth_factor?": NUMBER,
    "backoff_factor?": NUMBER,
    "growth_interval?": COUNT,
}
# What is known by name at the top of a checkpoint.
FORMS: dict[str, Any] = {
    "model": (lambda value: isinstance(value, dict) and all(isinstance(name, str) for name in value), "a state dict"),
    "scheduler": MAPPING_OR_NONE,
    "scaler": Maybe(SCALER),
    "parameters": Maybe(PARAMETERS),
    "callbacks": [COMPONENT],
    "metrics": [COMPONENT],
    "loggers": [COMPONENT],
    "loss": STATE,
    "io": STATE,
    "data": {"module": STATE, "train": Maybe({**READ, "beside?": Maybe(READ)})},
    "flags": FLAGS,
    "attributes": (is_mapping_of(is_mapping), "a mapping of modules to their attributes"),
    "train_state": {
        "epoch": COUNT,
        "global_step": COUNT,
        "micro_step_in_epoch": COUNT,
        "epoch_complete": TRUTH,
        "should_stop?": TRUTH,
        "is_cut?": TRUTH,
        "seconds?": (is_duration, "a time in seconds"),
        "validated_at?": (is_duration, "a time in seconds"),
        "validations?": COUNT,
        "logged_at?": (is_duration, "a time in seconds"),
    },
    "trained": [(is_tensor, "a tensor")],
    "logs": Maybe(
        {
            "train?": Maybe(ROWS),
            "val?": Each(ONE_NUMBER),
            "validated?": TRUTH,
            "logged_step?": COUNT,
            "means?": {"sums": Each(NUMBER), "weights": Each(NUMBER)},
        }
    ),
    "turns": {"scheduler?": TRUTH, "row?": TRUTH, "validation?": TRUTH, "hook?": TEXT},
    "rng": RNG,
    "meta": {
        "definition?": (optional(is_text), "a text or None"),
        "built": {
            "optimizer": {"class": TEXT},
            "scheduler": MAPPING_OR_NONE,
            "rhythm?": MAPPING_OR_NONE,
            "parameters?": Maybe(NAMES),
        },
        "reshaped?": (
            is_mapping_of(optional(is_list_of(is_count))),
            "a mapping of names to shapes",
        ),
    },
}
BY_PARAMETER = {"param_groups": [{"params": (is_list_of(is_count), "a list of numbers")}], "state": MAPPING}

"""List the sections of an experiment and the keys of `run`: what is checked, offered by editors and documented."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from otrainer.config import names

PRECISIONS = ("fp32", "bf16-mixed", "fp16-mixed", "bf16")
MATMUL_PRECISIONS = ("highest", "high", "medium")
COMPILE_OPTIONS = ("fullgraph", "dynamic", "backend", "mode", "options")
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Section:
    """A section of components: `prefix` begins their keys; `cls` those of the class that a factory builds.

    Where it is `named`, it may have several, each under a name of its own.
    """

    name: str
    prefix: str
    doc: str
    cls: str = ""
    optional: bool = False
    many: bool = False
    named: bool = False

    def members(self, value: Any) -> Mapping[str, Any]:
        """Return the specs that a section has by their names; a single one has the name ""."""
        if self.named and is_named(value):
            return dict(value)
        return {"": value}

    @property
    def required(self) -> bool:
        return not (self.optional or self.many)


def is_named(value: Any) -> bool:
    """Return whether a section has several components, each under a name: mappings alone, and nothing that is one."""
    if not isinstance(value, Mapping) or any(key in value for key in ("_type_", "_target_", "type")):
        return False
    specs = [each for each in value.values() if isinstance(each, Mapping)]
    return len(specs) == len(value) and any(key in each for each in specs for key in ("_type_", "_target_"))


SECTIONS = (
    Section("trainer", "trainer.", "The loop that trains: `{_type_: trainer.*}`."),
    Section("data", "data.", "The data to train and validate on: `{_type_: data.*}`."),
    Section("io", "io.", "How a batch becomes the model's arguments and the targets: `{_type_: io.*}`."),
    Section("loss", "loss.", "What is minimised: `{_type_: loss.*}`."),
    Section(
        "optimizer",
        "optim_factory.",
        "What steps the parameters: `{_type_: optim_factory.*, type: optim_cls.*, kwargs: {...}}`.",
        cls="optim_cls.",
        named=True,
    ),
    Section(
        "scheduler",
        "sched_factory.",
        "What changes the learning rate, if anything: `{_type_: sched_factory.*, type: sched_cls.*}`.",
        cls="sched_cls.",
        optional=True,
        named=True,
    ),
    Section("callbacks", "cb.", "What is called as training goes on: a list of `{_type_: cb.*}`.", many=True),
    Section("loggers", "log.", "Where metrics are written: a list of `{_type_: log.*}`.", many=True),
    Section("metrics", "metric.", "What is measured besides the loss: a list of `{_type_: metric.*}`.", many=True),
)
CLASSES = tuple(section.cls for section in SECTIONS if section.cls)
KNOWN_SECTIONS = (
    *("schema_version", "settings", "imports", "params", "run", "model", "weights"),
    *(section.name for section in SECTIONS),
)


class Form(NamedTuple):
    """The values that a key takes: a test, and the JSON Schema of what passes it as far as one file shows."""

    fits: Callable[[Any], bool]
    schema: Mapping[str, Any]


def choice(names: tuple[str, ...]) -> Form:
    return Form(lambda value: isinstance(value, str) and value in names, {"enum": names})


def is_options(value: Any) -> bool:
    """Return whether `value` is what `run.compile` takes."""
    return isinstance(value, bool) or (isinstance(value, Mapping) and set(value) <= set(COMPILE_OPTIONS))


NAME = Form(lambda value: isinstance(value, str) and names.is_plain_name(value), {"pattern": f"^{names.PATTERN}$"})
TEXT = Form(lambda value: isinstance(value, str) and bool(re.search(r"\S", value)), {"pattern": r"\S"})
SEED = Form(
    lambda value: type(value) is int and 0 <= value <= LARGEST_SEED,
    {"type": ["integer"], "minimum": 0, "maximum": LARGEST_SEED},
)
FLAG = Form(lambda value: isinstance(value, bool), {"type": ["boolean"]})
OPTIONS = Form(
    is_options,
    {"type": ["boolean", "object"], "properties": dict.fromkeys(COMPILE_OPTIONS, True), "additionalProperties": False},
)


@dataclass(frozen=True, slots=True)
class RunKey:
    """A key of `run`: the values that it takes, in words and by an example, and what editors say of it."""

    form: Form
    words: str
    example: str
    doc: str
    default: Any = None
    required: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(self.form.schema.get("enum", ()))


RUN_KEYS = {
    "name": RunKey(
        NAME, names.WORDS, "baseline", "The run's name, a plain one: letters, digits, `_`, `-` and `.`.", required=True
    ),
    "out_dir": RunKey(
        TEXT,
        "the path of the run's folder",
        "runs/${run.name}",
        "The path of the run's folder, such as `runs/${run.name}`.",
        required=True,
    ),
    "seed": RunKey(
        SEED, "a whole number from 0 to 2**63 - 1", "0", "Where all randomness starts from: 0 to 2**63 - 1.", default=0
    ),
    "device": RunKey(
        TEXT,
        "a device such as `cpu`, `cuda` or `cuda:1`",
        "cpu",
        "The device: `cpu`, `cuda`, `cuda:1` or `mps`.",
        default="cpu",
    ),
    "precision": RunKey(
        choice(PRECISIONS),
        f"one of {', '.join(PRECISIONS)}",
        "fp32",
        "The precision of the forward pass; under `bf16` of weights and batches too.",
        default="fp32",
    ),
    "deterministic": RunKey(
        FLAG,
        "true or false",
        "true",
        "Whether only algorithms are used that come to the same bits each time.",
        default=False,
    ),
    "compile": RunKey(
        OPTIONS,
        f"true, false, or arguments of torch.compile ({', '.join(COMPILE_OPTIONS)})",
        "true",
        "Whether torch.compile is used, or its arguments.",
        default=False,
    ),
    "matmul_precision": RunKey(
        choice(MATMUL_PRECISIONS),
        f"one of {', '.join(MATMUL_PRECISIONS)}",
        "high",
        "How exactly float32 matrices are multiplied.",
    ),
    "fast": RunKey(
        FLAG,
        "true or false",
        "true",
        "Whether only two batches go through training, validation and a checkpoint, with no run written.",
        default=False,
    ),
    "resume_from": RunKey(
        TEXT,
        "the path of a checkpoint",
        "runs/NAME/checkpoints/last.pt",
        "The path of a checkpoint to start from, such as `runs/NAME/checkpoints/last.pt`.",
    ),
}

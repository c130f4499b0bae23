"""Memory that ran out: in which step, at which batch size, and what takes less."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.state import RunContext
from otrainer.engine.tree import count_samples, leaves
from otrainer.stages.failures.calls import find_call

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Step
    from otrainer.errors import ConfigPath, Finding
    from otrainer.model.ir import ModelIR
    from otrainer.stages.failures.failure import Failure

SAYS_SO = re.compile(
    r"(?i)out of memory|can't allocate memory|not enough memory|cannot allocate memory|ALLOC_FAILED|bad_alloc"
)
ASKED = re.compile(r"(?i)tried to allocate (\d+) bytes")
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def ran_out(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a device or here."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or (isinstance(error, RuntimeError | OSError) and bool(SAYS_SO.search(str(error))))


def out_of_memory(failure: Failure, ir: ModelIR) -> Finding | None:
    """What to do where memory ran out; None for any other failure."""
    if not ran_out(failure.error):
        return None
    path, advice = where_to_save(failure.parts.config)
    message = f"Memory ran out{circumstances(failure.raised.steps)}: {in_words(failure.raised.text)}"
    call = find_call(failure.raised.steps, ir)
    if call is not None:
        related = [(f"in the node `{call.node.name}`", ir.spec_path(call.node))]
    else:
        related = [(f"in `{failure.part.key}`", failure.part.path)] if failure.part else []
    return failure.finding("out of memory", [message], path, steps=(), related=related, hint=advice)


def circumstances(steps: Sequence[Step]) -> str:
    """` in step 3, with a batch of 32 samples`, as far as either is known."""
    words = []
    context = context_of(steps)
    if context is not None:
        words.append(f" in step {context.state.global_step + 1:,}")
    batch = batch_in(steps)
    if batch is not None:
        count = count_samples(batch)
        words.append(f" with a batch of {count:,} sample{'' if count == 1 else 's'}")
    return ",".join(words)


def context_of(steps: Sequence[Step]) -> RunContext | None:
    """The context of the run, from the loop's own variables or a hook's."""
    for step in reversed(steps):
        for name in ("ctx", "session") if step.frame else ():
            value = step.frame.f_locals.get(name) if step.frame else None
            value = getattr(value, "ctx", value)
            if isinstance(value, RunContext):
                return value
    return None


def batch_in(steps: Sequence[Step]) -> Any:
    """The batch that was being worked on, by the name that loops give it."""
    for step in reversed(steps):
        batch = step.frame.f_locals.get("batch") if step.frame else None
        if any(True for _ in leaves(batch)):
            return batch
    return None


def in_words(text: str) -> str:
    """What torch says of it in a sentence or two, with counts of bytes as people read them."""
    text = re.sub(r"^\[enforce fail at [^\]]*\] err == 0\. ", "", text.strip())
    text = ASKED.sub(lambda match: f"tried to allocate {size(int(match[1]))}", text)
    text = re.sub(r"\. Error code .*", ".", text)
    return " ".join(re.split(r"(?<=[.!])\s+", text)[:2])


def size(count: float) -> str:
    for unit in UNITS:
        if count < 1024 or unit == UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def where_to_save(config: Mapping[str, Any]) -> tuple[ConfigPath, str]:
    """The place in the config to turn to, and what to do there."""
    data = config.get("data")
    path: ConfigPath = ("data", "batch_size") if isinstance(data, Mapping) and "batch_size" in data else ("data",)
    advice = "A smaller batch takes less"
    if isinstance(config.get("trainer"), Mapping) and config["trainer"].get("_type_") == "trainer.default":
        advice += "; with `trainer.grad_accum_steps` as many samples make a step"
    if (config.get("run") or {}).get("precision", "fp32") == "fp32":
        advice += ", and `run.precision: bf16-mixed` needs about half for what layers keep for backward"
    return path, f"{advice}."

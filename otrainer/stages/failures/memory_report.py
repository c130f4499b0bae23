"""Report memory that ran out: in which step, at which batch size, and what takes less."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from otrainer.diagnostics.quantities import size_text
from otrainer.engine.stage_notes import note_of
from otrainer.engine.tree import count_samples
from otrainer.stages.failures.frames import find_batch, find_context, find_node_call

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Step
    from otrainer.errors import ConfigPath, Finding
    from otrainer.stages.failures.failure import Failure

SAYS_SO = re.compile(
    r"(?i)out of memory|can't allocate memory|not enough memory|cannot allocate memory|ALLOC_FAILED|bad_alloc"
)
ASKED = re.compile(r"(?i)tried to allocate (\d+) bytes")


def ran_out(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out, on a device or here."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or (isinstance(error, RuntimeError | OSError) and bool(SAYS_SO.search(str(error))))


def report_out_of_memory(failure: Failure) -> Finding | None:
    """Say what to do where memory ran out; None for any other failure."""
    if not ran_out(failure.error):
        return None
    path, advice = where_to_save(failure.components.config)
    note = note_of(failure.error)
    said = in_words(failure.raised.text.removesuffix(note))
    message = f"Memory ran out{circumstances(failure.raised.steps, note)}: {said}"
    call = find_node_call(failure.raised.steps, failure.ir)
    node = [(f"in the node `{call.node.name}`", failure.ir.spec_path(call.node))] if call else []
    return failure.finding("out of memory", [message], path, related=node or failure.in_component, hint=advice)


def circumstances(steps: Sequence[Step], note: str = "") -> str:
    """Say ` in step 3, with a batch of 32 samples`, as far as either is known; a `note` stands for the step."""
    words, context, batch = [f" {note}"] if note else [], find_context(steps), find_batch(steps)
    if context is not None and not note:
        words.append(f" in step {context.state.global_step + 1:,}")
    if batch is not None:
        count = count_samples(batch)
        words.append(f" with a batch of {count:,} sample{'' if count == 1 else 's'}")
    return ",".join(words)


def in_words(text: str) -> str:
    """Return what torch says of it in a sentence or two, with counts of bytes as people read them."""
    text = re.sub(r"^\[enforce fail at [^\]]*\] err == 0\. ", "", text.strip())
    text = ASKED.sub(lambda match: f"tried to allocate {size_text(int(match[1]))}", text)
    text = re.sub(r"\. Error code .*", ".", text)
    return " ".join(re.split(r"(?<=[.!])\s+", text)[:2])


def where_to_save(config: Mapping[str, Any]) -> tuple[ConfigPath, str]:
    """Return the place in the config to turn to, and what to do there."""
    data = config.get("data")
    path: ConfigPath = ("data", "batch_size") if isinstance(data, Mapping) and "batch_size" in data else ("data",)
    advice = "A smaller batch takes less"
    if isinstance(config.get("trainer"), Mapping) and config["trainer"].get("_type_") == "trainer.default":
        advice += "; with `trainer.grad_accum_steps` as many samples make a step"
    if (config.get("run") or {}).get("precision", "fp32") == "fp32":
        advice += ", and `run.precision: bf16-mixed` needs about half for what layers keep for backward"
    return path, f"{advice}."

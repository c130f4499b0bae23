"""Read a checkpoint as data, and refuse a file that is missing, damaged or something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from otrainer.engine.checkpoint.file_format import DamagedError, read_container
from otrainer.engine.checkpoint.form import problem_with, told
from otrainer.engine.checkpoint.forms import FORMAT
from otrainer.engine.checkpoint.plain import NotPlainError
from otrainer.engine.checkpoint.snapshot import Snapshots
from otrainer.engine.checkpoint.weights_alone import is_weights_alone, no_run_in
from otrainer.errors import ConfigError, dotted

# What a file has under another name, or not at all, if it is older than a format.
RENAMED = {"progress": "train_state"}


def load_checkpoint(path: str | Path, *, whole: bool = True) -> dict[str, Any]:
    """Return the parts of a checkpoint on the CPU; the model's tensors are read from the file as they are used.

    References stand in place of secrets. Without `whole`, one of weights alone will do.

    Raises ConfigError where the file is missing, cannot be read, is damaged, or not a checkpoint of this kind.
    """
    path = Path(path)
    if not path.is_file():
        hint = "Check the path; `doit runs` lists the runs that have checkpoints."
        raise ConfigError(f"There is no checkpoint at `{path}`.", title="checkpoint not found", hint=hint)
    try:
        parts = read_container(path)
    except DamagedError as cause:
        raise damaged(path, str(cause)) from cause
    except OSError as cause:
        raise unreadable(path, cause) from cause
    except ValueError as cause:
        raise not_a_checkpoint(f"`{path}` cannot be loaded as data: {cause}") from cause
    if isinstance(parts, dict):
        parts = {
            "flags": {},
            "io": None,
            "parameters": None,
            **{RENAMED.get(name, name): part for name, part in parts.items()},
        }
    if problem := problem_with(parts):
        raise not_a_checkpoint(f"`{path}` holds no run that can be continued: {problem.message}.")
    if whole and is_weights_alone(parts):
        raise no_run_in(path)
    # What is loaded may be kept as it is, and shall not depend on a file that somebody may change.
    copies, taken = Snapshots(keep=False), {}
    for name, part in parts.items():
        try:
            taken[name] = part if name == "model" else copies.take(part)[0]
        except NotPlainError as cause:
            what = f"`{dotted((name, *cause.path))}` is {told(cause.value)} that no checkpoint holds"
            raise not_a_checkpoint(f"`{path}` holds no run that can be continued: {what}.") from cause
    return taken


def not_a_checkpoint(message: str) -> ConfigError:
    return ConfigError(message, title="not a checkpoint", hint=f"Checkpoints of otrainer are of format {FORMAT}.")


def damaged(path: Path, what: str) -> ConfigError:
    hint = "Name another checkpoint by `run.resume_from`, or move the damaged one away to train from the start."
    return ConfigError(f"`{path}` is damaged: {what}.", title="damaged checkpoint", hint=hint)


def unreadable(path: Path, cause: OSError) -> ConfigError:
    message = f"`{path}` cannot be read: {cause.strerror or cause}."
    hint = "It may be whole: once it can be read, the same command goes on from it."
    return ConfigError(message, title="checkpoint cannot be read", hint=hint)

"""Writes checkpoints durably, one at a time, while training goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from errno import EACCES, EINVAL, EMLINK, ENOSYS, ENOTSUP, EOPNOTSUPP, EPERM, EXDEV
from pathlib import Path
from typing import Any

import torch

from otrainer.engine.checkpoint.file_format import PIECE, write_container
from otrainer.engine.checkpoint.parameters import weights_of
from otrainer.engine.checkpoint.plain import check_plain
from otrainer.engine.checkpoint.snapshot import Snapshots
from otrainer.engine.checkpoint.weights_alone import weights_alone
from otrainer.engine.finite import NotFiniteError, is_finite
from otrainer.errors import ConfigError
from otrainer.storage.atomic import atomic_file, naming, sync_folder, temporary_beside
from otrainer.storage.runs.ownership import refuse_foreign_files
from otrainer.storage.runs.run_json import LAST, PREVIOUS

# What a file system without hard links says, or one where a file has all that it can have.
NO_LINKS = (EPERM, EACCES, EINVAL, ENOSYS, ENOTSUP, EOPNOTSUPP, EMLINK, EXDEV)


@dataclass(frozen=True)
class Saved:
    """One state that was written: under which names, and after how many optimizer steps and epochs.

    At `weights` there are the weights alone.
    """

    paths: tuple[Path, ...]
    step: int
    epochs: int
    weights: tuple[Path, ...] = ()


class Writer:
    """Takes the state of a run and writes it, in a thread of its own unless `background` is false.

    In the background it writes a copy, in buffers that it keeps for the next one. At most one save is in flight.
    """

    def __init__(self, *, background: bool = True) -> None:
        self._snapshots = Snapshots()
        self._pool = ThreadPoolExecutor(1, "checkpoint") if background else None
        self._flight: tuple[Saved, Future[None]] | None = None
        self._reserved: Future[None] | None = None

    def prepare(self, state: Mapping[str, Any]) -> None:
        """Begin to make the buffers for states like this one, so that the first save stalls no longer than others.

        Raises NotPlainError for a state that is more than data.
        """
        if self._pool is not None:
            self._reserved = self._pool.submit(self._snapshots.reserve(state))

    def save(self, state: Mapping[str, Any], saved: Saved) -> None:
        """Begin to write `state`; the save before has to have been waited for.

        Raises NotPlainError for a state that is more than data, and ConfigError where it cannot be written, or must
        not; in the background, `wait` raises the latter.
        """
        if self._pool is None:
            done: Future[None] = Future()
            check_plain(state)
            write_as(saved, state)
            done.set_result(None)
        else:
            if self._reserved is not None:
                self._reserved.result()
                self._reserved = None
            copied, until_filled = self._snapshots.take(state)
            done = self._pool.submit(write_as, saved, copied, until_filled)
        self._flight = saved, done

    @property
    def is_done(self) -> bool:
        """Whether a save ended that nobody waited for yet."""
        return self._flight is not None and self._flight[1].done()

    def wait(self) -> Saved | None:
        """Return the save in flight once it is durable; None if there was none. Raises what it failed with."""
        if self._flight is None:
            return None
        (saved, done), self._flight = self._flight, None
        done.result()
        return saved

    def close(self) -> None:
        """End the thread; what is in flight is written first."""
        if self._pool is not None:
            self._pool.shutdown()


def write_as(saved: Saved, state: Mapping[str, Any], until_filled: Callable[[], None] | None = None) -> None:
    """Write a state whole, its weights alone, or each in files of its own; see `write_checkpoint`."""
    if saved.paths:
        write_checkpoint(state, saved.paths, until_filled)
    if saved.weights:
        write_checkpoint(weights_alone(state), saved.weights, until_filled)


def write_checkpoint(
    state: Mapping[str, Any], paths: Sequence[Path], until_filled: Callable[[], None] | None = None
) -> None:
    """Put `state` at the first of `paths`, whole or not at all, and let the others be the same file.

    The former `last.pt` stays as `previous.pt`. Raises ConfigError where a file cannot be written or something else
    than a checkpoint has its name, and for parameters that are not finite, which never replace others.
    """
    if until_filled is not None:
        until_filled()
    check_finite(state)
    refuse_foreign_files(taken_by(paths))
    first, *others = paths
    try:
        with atomic_file(first) as stream:
            write_container(stream, state)
            keep_previous(first)
        for path in others:
            keep_previous(path)
            replace_by_link(first, path)
        if others:
            sync_folder(first.parent)
    except OSError as cause:
        message = f"`{cause.filename or first}` cannot be written: {cause.strerror or cause}."
        hint = "The checkpoint before it is whole: once there is room, the same command goes on from there."
        raise ConfigError(message, title="checkpoint not saved", hint=hint) from cause


def check_finite(state: Mapping[str, Any]) -> None:
    """Raise NotFiniteError for a parameter that is trained and not finite."""
    for part, name, tensor in weights_of(state):
        if isinstance(tensor, torch.Tensor) and not is_finite(tensor):
            step = state["train_state"]["global_step"]
            message = f"After step {step:,}, `{name}` of the {part} is not finite. No checkpoint was replaced."
            hint = (
                "A smaller learning rate or `trainer.grad_clip_norm` may keep them finite, unless the gradient was "
                "not: then look for a root or a logarithm at 0, a norm of zeros, a division."
            )
            raise NotFiniteError(message, title="parameters are not finite", config_path=("optimizer",), hint=hint)


def taken_by(paths: Sequence[Path]) -> list[Path]:
    """Return all names that a save under `paths` gives to a file."""
    return [*paths, *(path.with_name(PREVIOUS) for path in paths if path.name == LAST)]


def keep_previous(path: Path) -> None:
    """Let the `last.pt` that is about to be replaced stay under another name."""
    if path.name == LAST and path.exists():
        replace_by_link(path, path.with_name(PREVIOUS))


def replace_by_link(source: Path, target: Path) -> None:
    """Let `target` be the same file as `source`; it is never absent in between. Raises OSError that names it."""
    with naming(str(target)):
        passing = Path(temporary_beside(target))
        try:
            os.link(source, passing)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            with atomic_file(target) as file, source.open("rb") as content:
                shutil.copyfileobj(content, file, PIECE)
            return
        try:
            passing.replace(target)
        finally:
            # A rename that fails leaves it there, and so does one onto a name that the same file has already.
            passing.unlink(missing_ok=True)

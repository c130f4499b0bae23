"""cb.samples: what a model makes, as texts, images and arrays, while it is trained."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from otrainer.components.callbacks.sample_files import drop_after, write_samples
from otrainer.engine.accelerator import Accelerator
from otrainer.engine.attributes import attributes_kept
from otrainer.engine.checkpoint.form import refuse_misfits
from otrainer.engine.checkpoint.forms import COUNT
from otrainer.engine.kept_tensors import Allowance, Tensors
from otrainer.engine.loss_modules import loss_modules
from otrainer.engine.modes import evaluating, judging
from otrainer.engine.monitor import place_of
from otrainer.engine.seed import derive_seed, seeded
from otrainer.errors import ConfigError, check_whole

if TYPE_CHECKING:
    from torch import nn

    from otrainer.engine.state import RunContext

MOST_BYTES = 2**30  # of buffers and frozen parameters that are copied, for as long as a sample is made
RHYTHMS = ("every_n_validations", "every_n_epochs", "every_n_steps")
PLAIN = "a folder of letters, digits and `_.-` in the run's folder"


def no_sample(ctx: Any) -> None:
    """Sample nothing."""


class Samples:
    """Write what `sampler` makes of the model into files of the run's folder, called by their steps.

    `sampler` is a spec of what is called with the context, as hooks are, and with the first batch of validation (on the
    device) where it has an argument `batch`: the model in evaluation mode, with the averaged weights where these are
    validated, without gradients. It returns a text (or several), an image (a tensor `[C, H, W]` of one or three
    channels: bytes, or numbers within `value_range`), a batch of such, `columns` in a row, anything with `savefig` or a
    `save` as pillow's images have it, or tensors and arrays of any other shape; or a mapping from names to these. They
    become `.txt`, `.png` and `.npz`, below `folder`.
    It is called after each `every_n_validations` validations (1 by default), at the end of each `every_n_epochs`, or
    after each `every_n_steps` optimizer steps; and before the first step, so that what is wrong with it is told then.
    Nothing of training changes by it: global random numbers are those of a stream of its own, of the run's seed and the
    step, and what it changes in the model or in itself is put back. A resume drops the files of steps that are trained
    again.
    """

    tried_with_empty_parts = staticmethod(no_sample)  # in place of a plugin's sampler, which validation does not build

    def __init__(
        self,
        sampler: Any,
        every_n_validations: int | None = None,
        every_n_epochs: int | None = None,
        every_n_steps: int | None = None,
        folder: str = "samples",
        columns: int = 8,
        value_range: Sequence[float] = (0.0, 1.0),
    ) -> None:
        given = {"every_n_validations": every_n_validations, "every_n_epochs": every_n_epochs}
        given["every_n_steps"] = every_n_steps
        for name, every in given.items():
            check_whole(name, every, optional=True)
        if len(asked := [name for name, every in given.items() if every is not None]) > 1:
            raise ValueError(f"samples come by {asked[0]} or by {asked[1]}: let one of them be null")
        check_whole("columns", columns)
        self.takes_batch = takes_batch(sampler)
        self.low, self.high = bounds_of(value_range)
        if not isinstance(folder, str) or not is_plain(folder):
            raise ValueError(f"folder names {PLAIN}, not {folder!r}")
        self.sampler, self.folder, self.columns = sampler, folder, columns
        self.every_n_epochs, self.every_n_steps = every_n_epochs, every_n_steps
        self.every_n_validations = every_n_validations if asked else 1
        self.told: set[str] = set()
        self._validations = 0
        self._accelerator: Any = None
        self._batch: Any = None

    def on_fit_start(self, ctx: RunContext) -> None:
        """Drop what a stop left of steps that are trained again; before the first step, try the sampler."""
        twice = [each for each in ctx.callbacks if isinstance(each, Samples) and each.folder == self.folder]
        if twice and twice[0] is not self:
            raise shared_folder(self.folder, place_of(self, ctx))
        self._accelerator = Accelerator(ctx.run.device, ctx.run.precision)
        if self.takes_batch:
            self._batch = first_batch(ctx, place_of(self, ctx))
        drop_after(self._folder(ctx), ctx.state.global_step)
        if ctx.state.global_step == 0:
            self._write(ctx)

    def on_train_step_end(self, ctx: RunContext) -> None:
        """Write where steps are counted."""
        if self.every_n_steps is not None and ctx.state.global_step % self.every_n_steps == 0:
            self._write(ctx)

    def on_train_epoch_end(self, ctx: RunContext) -> None:
        """Write where epochs are counted."""
        if self.every_n_epochs is not None and (ctx.state.epoch + 1) % self.every_n_epochs == 0:
            self._write(ctx)

    def on_validation_end(self, ctx: RunContext) -> None:
        """Count a validation, and write where these are counted."""
        number = self._validations + 1
        if self.every_n_validations is not None and number % self.every_n_validations == 0:
            self._write(ctx)
        self._validations = number  # now that nothing can fail, so that it is counted once

    def _folder(self, ctx: RunContext) -> Path:
        return Path(ctx.run.out_dir) / self.folder

    def _write(self, ctx: RunContext) -> None:
        step, place = ctx.state.global_step, place_of(self, ctx)
        with apart(ctx, self.sampler), seeded(derive_seed(ctx.run.seed, "samples", step)):
            with self._accelerator.autocast():
                more = {"batch": self._accelerator.place(self._batch)} if self.takes_batch else {}
                made = self.sampler(ctx, **more)
            # Its tensors may be the model's own, which are other ones after the block.
            write_samples(self._folder(ctx), step, made, self, place)

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self._validations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        refuse_misfits(state, {"validations": COUNT})
        self._validations = state["validations"]


@contextmanager
def apart(ctx: RunContext, sampler: Any) -> Iterator[None]:
    """Have the model as validation has it in the block, and put back all that changes in the model, loss and sampler.

    Gradients may be asked for by `torch.enable_grad()`; those of training stay as they are.
    """
    modules: list[nn.Module] = [ctx.model, *loss_modules(ctx.loss).values()]
    with evaluating(modules, ctx), judging(modules, gradients=True), torch.no_grad():
        allowance = Allowance(MOST_BYTES)
        tensors = [Tensors(each, allowance, trained=True) for root in modules for each in root.modules()]
        try:
            with attributes_kept((*modules, ctx.loss, ctx.io, sampler)):
                yield
        finally:
            for each in tensors:
                each.put_back()


def takes_batch(sampler: Any) -> bool:
    """Return whether a sampler has an argument `batch`. Raises ValueError for what is not called with the context."""
    if not callable(sampler):
        raise ValueError(f"sampler is a spec of what is called with the context, not {sampler!r}")
    try:
        signature = inspect.signature(sampler)
    except (TypeError, ValueError):  # one that is written in C does not say
        return False
    wants = "batch" in signature.parameters
    try:
        signature.bind(object(), **({"batch": object()} if wants else {}))
    except TypeError as cause:
        raise ValueError(f"sampler is called with the context alone, or with `batch` too: {cause}") from None
    return wants


def bounds_of(value_range: Any) -> tuple[float, float]:
    """Return the two numbers that are black and white. Raises ValueError for anything else."""
    numbers = list(value_range) if isinstance(value_range, Sequence) and not isinstance(value_range, str) else []
    if len(numbers) != 2 or not all(isinstance(each, int | float) for each in numbers) or not numbers[0] < numbers[1]:
        raise ValueError(f"value_range is two numbers, black and white, as [0, 1] or [-1, 1], not {value_range!r}")
    return float(numbers[0]), float(numbers[1])


def is_plain(name: str) -> bool:
    return name.strip(".") != "" and name.isascii() and all(each.isalnum() or each in "_.-" for each in name)


def first_batch(ctx: RunContext, place: Any) -> Any:
    """Return the first batch of validation, as if nobody had asked. Raises ConfigError where there is none."""
    loaders: Mapping[str, Any] = ctx.val.by_name() if ctx.val else {}
    peek: Callable[..., list[Any]] | None = next((each.peek for each in loaders.values() if each), None)
    found = peek(0) if peek is not None else []
    if not found:
        message = "The sampler has an argument `batch`, and there are no data to validate on."
        hint = "Give the run validation data, or let the sampler take the context alone."
        raise ConfigError(message, title="no such split", config_path=(*place, "sampler"), hint=hint)
    return found[0]


def shared_folder(folder: str, place: Any) -> ConfigError:
    message = f"Two of `cb.samples` write to `{folder}`, under the same names."
    hint = "Give one of them a `folder` of its own, or let one sampler return a mapping."
    return ConfigError(message, title="name taken", config_path=(*place, "folder"), hint=hint)

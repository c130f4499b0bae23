"""The files of samples: which kind a value becomes, how they are called, and which go when training goes back."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZipFile

import torch

from otrainer.components.callbacks.png import as_bytes, grid, is_image, png
from otrainer.engine.arrays import Array
from otrainer.errors import ConfigError, ConfigPath
from otrainer.storage.atomic import atomic_file, is_own_file
from otrainer.storage.inside_project import refuse_outside
from otrainer.storage.project import project_root
from otrainer.storage.runs.ownership import refuse_links

log = logging.getLogger("otrainer")

OWN = re.compile(r"step_(\d+)(-[\w.-]+)?\.(txt|png|npz)", re.ASCII)
ALONE = "sample"  # what one without a name is called
NAME = re.compile(r"\w[\w.-]*", re.ASCII)


class Look(Protocol):
    """How images are drawn: how many in a row, and which numbers are black and white; `told` is what was said once."""

    columns: int
    low: float
    high: float
    told: set[str]


def write_samples(folder: Path, step: int, made: Any, look: Look, place: ConfigPath) -> None:
    """Write what a sampler made of a step: each text and image to a file of its own, all arrays to one together.

    Files that this step had before go. Raises ConfigError for what becomes no file, and where a link is in the way.
    """
    files = files_of(made, look, place)
    refuse_links((folder, *(folder / f"step_{step}{end}" for end in files)), place)
    refuse_outside(folder, project_root(), place)
    folder.mkdir(parents=True, exist_ok=True)
    drop(folder, lambda number: number == step, but=[f"step_{step}{end}" for end in files])
    for end, content in files.items():
        with atomic_file(folder / f"step_{step}{end}") as stream:
            stream.write(content)


def drop_after(folder: Path, step: int) -> None:
    """Drop the files of later steps, which are trained again."""
    drop(folder, lambda number: number > step)


def drop(folder: Path, is_over: Callable[[int], bool], but: list[str] | None = None) -> None:
    for path in sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else ():
        of = OWN.fullmatch(path.name)
        if of is not None and is_over(int(of[1])) and path.name not in (but or ()) and is_own_file(path):
            path.unlink(missing_ok=True)


def files_of(made: Any, look: Look, place: ConfigPath) -> dict[str, bytes]:
    """Return contents by what follows the step in a file's name."""
    files, arrays = dict[str, bytes](), dict[str, Any]()
    for name, value in named(made, place):
        end, shown = f"-{name}" if name else "", name or ALONE
        if (text := text_of(value)) is not None:
            files[f"{end}.txt"] = text
        elif (image := image_of(value, look, shown)) is not None:
            files[f"{end}.png"] = image
        elif isinstance(value, torch.Tensor) or hasattr(value, "__array__"):
            arrays[shown] = value
        else:
            raise no_sample(shown, value, place)
    if arrays:
        files[".npz"] = packed(arrays, place)
    return files


def named(made: Any, place: ConfigPath) -> Iterator[tuple[str, Any]]:
    """Yield what was made by its names, without one where it is no mapping; nothing where it is None."""
    if made is None:
        return
    if not isinstance(made, Mapping):
        yield "", made
        return
    for name, value in made.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            message, hint = f"A sample is called {name!r}.", "Use letters, digits and `_.-`: it is part of a file name."
            raise ConfigError(message, title="no sample", config_path=(*place, "sampler"), hint=hint)
        yield name, value


def text_of(value: Any) -> bytes | None:
    """Return a text as a file has it, several of them with `---` between; None for anything else."""
    if isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
        value = "\n---\n".join(value)
    if not isinstance(value, str):
        return None
    return f"{value}\n".encode(errors="backslashreplace")  # half of a character is no UTF-8


def image_of(value: Any, look: Look, name: str) -> bytes | None:
    """Return an image, or a figure, as a file has it; None for anything else."""
    if isinstance(value, torch.Tensor):
        if not is_image(value):
            return None
        pixels, cut = as_bytes(value.detach().cpu(), look.low, look.high)
        if cut and name not in look.told:
            look.told.add(name)
            told = cut * 100, name, look.low, look.high
            log.warning("cb.samples: %.3g %% of the values of %s are outside of %g to %g, and cut off", *told)
        return png(grid(pixels, look.columns))
    stream = BytesIO()
    if callable(getattr(value, "savefig", None)):
        value.savefig(stream, format="png")
    elif callable(getattr(value, "save", None)) and hasattr(value, "getpixel"):
        value.save(stream, format="PNG")
    else:
        return None
    return stream.getvalue()


def packed(arrays: Mapping[str, Any], place: ConfigPath) -> bytes:
    """Return arrays as an `.npz` file. Raises ConfigError for one of objects, and where numpy is missing."""
    try:
        import numpy as np
    except ImportError as cause:
        message, hint = (
            "Samples that are arrays are kept by numpy.",
            "Run `pip install numpy`, or return texts or images.",
        )
        raise ConfigError(message, title="numpy is not installed", config_path=place, hint=hint) from cause
    found = {
        name: Array(each).tensor().numpy() if isinstance(each, torch.Tensor) else np.asarray(each)
        for name, each in arrays.items()
    }
    for name, each in found.items():
        if each.dtype.hasobject:
            raise no_sample(name, each, place)
    stream = BytesIO()
    with ZipFile(stream, "w") as archive:  # `savez` takes some names for arguments of its own
        for name, each in found.items():
            with archive.open(f"{name}.npy", "w") as part:
                np.lib.format.write_array(part, each, allow_pickle=False)
    return stream.getvalue()


def no_sample(name: str, value: Any, place: ConfigPath) -> ConfigError:
    return ConfigError(
        f"The sample `{name}` is of {type(value).__qualname__}, which becomes no file.",
        title="no sample",
        config_path=(*place, "sampler"),
        hint="Return texts, images or arrays, or a mapping from names to these.",
    )

"""dataset.image_folder: images in a folder for each class."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from otrainer.errors import ConfigError, is_whole, nearest

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
WIDE = ("I", "F")  # how the modes of more than 8 bits a channel begin


class ImageFolderDataset:
    """Samples `{image, label}` of the images in `path/CLASS/`, at any depth: `[channels, height, width]` and int64.

    `path` is a folder with a folder for each class. `classes` are their names in the order of labels, by default all
    that are there, sorted. Images come sorted by class and path, turned upright as their EXIF data say. `mode` is the
    channels that they get, `RGB`, `L` or `RGBA`. `size` is the [height, width] that they are resized to. `dtype` is
    `float32`, from 0 to 1, or `uint8`. `transform` is called with each image, one or a list of specs such as
    `transform.torchvision` or a module of torch. What is random in it is drawn by torch, anew for each batch from the
    run's seed, the epoch and the batch's number.

    Raises ConfigError for a class without images, and for an image that cannot be read; ValueError for other arguments.
    """

    def __init__(
        self,
        path: str,
        transform: Any = None,
        mode: str = "RGB",
        size: Sequence[int] | None = None,
        dtype: str = "float32",
        classes: Sequence[str] | None = None,
    ) -> None:
        for name, value, known in (("mode", mode, CHANNELS), ("dtype", dtype, ("float32", "uint8"))):
            if value not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
        if size is not None and (len(size) != 2 or not all(map(is_whole, size))):
            raise ValueError(f"size is [height, width], not {size!r}")
        self.path, self.mode, self.dtype, self.classes = os.fspath(path), mode, dtype, classes
        self.size = None if size is None else (size[0], size[1])
        self.transforms = transforms_of(transform)
        self._images: list[tuple[str, int]] | None = None

    def files(self) -> list[str]:
        """Return the folder whose content is the data."""
        return [self.path]

    def check(self) -> None:
        """Find all images, and read what each says of itself at its beginning."""
        for path, _ in self.images:
            with opened(path) as image:
                refuse_wide(path, image.mode)

    @property
    def images(self) -> list[tuple[str, int]]:
        """The path and label of each image."""
        if self._images is None:
            self._images = images_in(Path(self.path), self.classes)
        return self._images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        path, label = self.images[index]
        image = self._read(path)
        for transform in self.transforms:
            image = transform(image)
        return {"image": image, "label": torch.tensor(label)}

    def _read(self, path: str) -> torch.Tensor:
        with opened(path) as image:
            from PIL import Image, ImageOps

            refuse_wide(path, image.mode)
            upright = ImageOps.exif_transpose(image).convert(self.mode)
            if self.size is not None:
                upright = upright.resize(self.size[::-1], Image.Resampling.BILINEAR)
            width, height = upright.size
            flat = torch.frombuffer(bytearray(upright.tobytes()), dtype=torch.uint8)
        pixels = flat.view(height, width, CHANNELS[self.mode]).permute(2, 0, 1).contiguous()
        return pixels if self.dtype == "uint8" else pixels.float() / 255

    def column(self, field: str) -> list[Any]:
        """Return `label`, or the `path` in the folder, of each image, of which none is read for it."""
        if field == "label":
            return [label for _, label in self.images]
        if field == "path":
            return [Path(path).relative_to(self.path).as_posix() for path, _ in self.images]
        message = f"The data has no field `{field}` to go by; it has `label`, `path`."
        near, hint = nearest(field, ("label", "path")), "Go by one of those."
        raise ConfigError(message, title="unknown field", config_path=("data",), suggestions=near, hint=hint)

    def example_batch(self, size: int) -> dict[str, torch.Tensor] | None:
        """Return a batch without numbers; None where the size of images is known only once they are read."""
        if self.size is None or self.transforms:
            return None
        count, kind = min(size, len(self)), getattr(torch, self.dtype)
        return {
            "image": torch.empty(count, CHANNELS[self.mode], *self.size, dtype=kind, device="meta"),
            "label": torch.empty(count, dtype=torch.int64, device="meta"),
        }


def transforms_of(given: Any) -> list[Callable[[Any], Any]]:
    """Return one or several transforms as a list; raise ValueError for what cannot be called."""
    found = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    for each in found:
        if not callable(each):
            raise ValueError(f"transform is a spec of what is called with an image, or a list of such, not {each!r}")
    return found


def images_in(root: Path, classes: Sequence[str] | None) -> list[tuple[str, int]]:
    """Return each image below a folder with the number of its class; raise ConfigError where a class has none."""
    if not root.is_dir():
        near = nearest(root.name, [each.name for each in root.parent.glob("*/")]) if root.parent.is_dir() else ()
        message, hint = f"There is no folder `{root}`.", "Relative paths start from the project's folder."
        raise ConfigError(message, title="data file not found", suggestions=near, hint=hint)
    there = sorted(each.name for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
    found: list[tuple[str, int]] = []
    for label, name in enumerate(there if classes is None else classes):
        if name not in there:
            message, hint = f"`{root}` has no folder `{name}`.", "A class is a folder with its images."
            raise ConfigError(message, title="data file not found", suggestions=nearest(name, there), hint=hint)
        files = sorted(each.as_posix() for each in (root / name).rglob("*") if is_image(each))
        if not files:
            message, hint = (
                f"The class `{name}` has no image in `{root / name}`.",
                f"Images end in {', '.join(SUFFIXES)}.",
            )
            raise ConfigError(message, title="unreadable data file", hint=hint)
        found += [(file, label) for file in files]
    if not found:
        message, hint = f"`{root}` has no folders, of which each would be a class.", "Put images into folders by class."
        raise ConfigError(message, title="unreadable data file", hint=hint)
    return found


def is_image(path: Path) -> bool:
    """Return whether a file looks like an image; hidden ones, as some systems leave beside each, do not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """Open an image for the block; raise ConfigError where it, or what the block reads of it, is damaged."""
    try:
        from PIL import Image
    except ImportError as cause:
        message = f"Reading `{path}` needs the package pillow, which is not installed."
        hint = "Run `pip install 'otrainer[vision]'`."
        raise ConfigError(message, title="pillow is not installed", hint=hint) from cause
    try:
        with Image.open(path) as image:
            yield image
    # Pillow calls a damaged PNG file a SyntaxError.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as cause:
        message, hint = f"`{path}` cannot be read as an image: {cause}.", "Save the image anew, or take it out."
        raise ConfigError(message, title="unreadable data file", hint=hint) from cause


def refuse_wide(path: str, mode: str) -> None:
    if mode.startswith(WIDE):
        message = f"`{path}` has more than 8 bits a channel (mode {mode}), which would be cut off."
        hint = "Save it with 8 bits, or as arrays for `dataset.arrays`."
        raise ConfigError(message, title="unreadable data file", hint=hint)

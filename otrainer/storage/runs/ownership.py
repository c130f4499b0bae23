"""What otrainer wrote: nothing else is ever replaced, moved or removed. Links count as somebody else's."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.storage.atomic import is_own_file
from otrainer.storage.runs.output_marks import altered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otrainer.errors import ConfigPath

# The end record of a zip archive (APPNOTE 4.3.16) whose comment is a seal, as checkpoints end.
SEALED = re.compile(rb"PK\x05\x06.{16}\x40\x00[0-9a-f]{64}", re.DOTALL)
SEALED_LENGTH = 22 + 64
# How files of weights and arrays are called; a run may have left some that are no checkpoints of otrainer's.
DATA = (".pt", ".pth", ".ckpt", ".safetensors", ".npy", ".npz", ".bin", ".onnx")
SHOWN = 3


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Return whether a file, no link, ends as every checkpoint of otrainer's; it is not looked into further."""
    if not is_own_file(path):
        return False
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - asked often
            stream.seek(-SEALED_LENGTH, os.SEEK_END)
            return SEALED.fullmatch(stream.read()) is not None
    except OSError:  # shorter, or gone
        return False


def is_output(path: Path, mark: list[Any] | None) -> bool:
    """Return whether a run left this file: a checkpoint, or data still as its `mark` in run.json says."""
    if is_checkpoint(path):
        return True
    return mark is not None and path.suffix in DATA and is_own_file(path) and not altered(path, mark)


def refuse_foreign_files(paths: Iterable[Path], config_path: ConfigPath = ()) -> None:
    """Raise ConfigError where something that is no checkpoint of otrainer's has a name that one is about to take."""
    found = [path for path in paths if os.path.lexists(path) and not is_checkpoint(path)]
    if not found:
        return
    listed = ", ".join(f"`{path}`" for path in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if found[SHOWN:] else ""
    verb, them = ("is no checkpoint", "it") if len(found) == 1 else ("are no checkpoints", "them")
    raise ConfigError(
        f"{listed}{more} {verb} of otrainer's, and a checkpoint would take the place of {them}.",
        title="name taken",
        config_path=config_path,
        hint="Move what is there, or name another `save_dir`.",
    )


def refuse_links(paths: Iterable[Path], config_path: ConfigPath = ()) -> None:
    """Raise ConfigError where a link stands in place of something that otrainer writes; what it leads to is left."""
    for path in paths:
        if path.is_symlink():
            raise ConfigError(
                f"`{path}` is a link to `{os.readlink(path)}`: nothing is written through it, and it is not replaced.",  # noqa: PTH115
                title="link in the way",
                config_path=config_path,
                hint="Put a file or folder of its own there, or move the link away.",
            )

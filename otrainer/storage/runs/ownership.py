"""What otrainer wrote: nothing else is ever replaced, moved or removed. Links count as somebody else's.

Marks of the files that a run left, by size, time and checksum, tell one that changed since from the others.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.storage.atomic import is_own_file
from otrainer.storage.regular import open_regular
from otrainer.storage.stamps import is_young

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import StrPath

    from otrainer.errors import ConfigPath

# The end record of a zip archive (APPNOTE 4.3.16) whose comment is a seal, as checkpoints end.
SEALED = re.compile(rb"PK\x05\x06.{16}\x40\x00[0-9a-f]{64}", re.DOTALL)
SEALED_LENGTH = 22 + 64
# How files of weights and arrays are called; a run may have left some that are no checkpoints of otrainer's.
DATA = (".pt", ".pth", ".ckpt", ".safetensors", ".npy", ".npz", ".bin", ".onnx")
# What stands in checkpoints of weights alone, from which no run goes on.
WEIGHTS_ALONE = "otrainer: weights alone"
SHOWN = 3
MOST_FACTS = 1 << 28
TAIL = 65536


def is_checkpoint(path: StrPath) -> bool:
    """Return whether a file, no link, ends as every checkpoint of otrainer's; it is not looked into further."""
    if not is_own_file(path):
        return False
    try:
        with open_regular(path) as stream:
            stream.seek(-SEALED_LENGTH, os.SEEK_END)
            return SEALED.fullmatch(stream.read()) is not None
    except OSError:  # shorter, or gone
        return False


def is_output(path: Path, mark: list[Any] | None) -> bool:
    """Return whether a run left this file: a checkpoint, or data still as its `mark` in run.json says."""
    if is_checkpoint(path):
        return True
    return mark is not None and path.suffix in DATA and is_own_file(path) and not altered(path, mark)


def is_written_under(path: Path, definition: str) -> bool:
    """Return whether a file is a checkpoint of a run of this definition, which stands in it."""
    return is_checkpoint(path) and says(path, definition)


def holds_a_run(path: Path) -> bool:
    """Return whether a file is a checkpoint that a run can go on from, and not one of weights alone."""
    return is_checkpoint(path) and not says(path, WEIGHTS_ALONE)


def says(path: Path, text: str) -> bool:
    """Return whether a text stands in a checkpoint, beside its tensors."""
    try:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            facts = [each for each in archive.infolist() if each.filename.endswith("data.pkl")]
            return any(each.file_size <= MOST_FACTS and text.encode() in archive.read(each) for each in facts)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, RuntimeError):
        return False


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


def measure(run_dir: StrPath, paths: Iterable[StrPath]) -> dict[str, list[Any]]:
    """Return the `outputs` of run.json: paths from the run directory, with size, mtime_ns and checksum as of now."""
    return {Path(path).as_posix(): mark_of(Path(run_dir) / path) for path in paths}


def mark_of(path: Path) -> list[Any]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, checksum(path)]


def checksum(path: Path) -> str:
    """Hash the end of a file: it tells checkpoints of the same size apart, by the zip's own table of CRCs.

    The last 64 KiB of a file of torch's hold the name, size and CRC of each member.
    """
    with open_regular(path) as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL))
        return hashlib.sha256(stream.read(TAIL)).hexdigest()[:32]


def altered(path: Path, mark: list[Any], *, marked_ns: int = 0) -> bool:
    """Return whether a file differs from its mark; one that was only copied or touched does not.

    One that has the marked time, and that nobody wrote to since `marked_ns`, is not looked into.
    Raises OSError where it is not there.
    """
    status = path.stat()
    if status.st_size != mark[0]:
        return True
    is_as_marked = status.st_mtime_ns == mark[1] and not is_young(status, marked_ns)
    return not is_as_marked and checksum(path) != mark[2]

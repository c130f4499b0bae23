"""Which data files a component declares, and how what it raises meanwhile is told."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.exceptions import MEND, own_lines
from otrainer.diagnostics.redaction.values import known
from otrainer.errors import ConfigError, ConfigPath, nearest
from otrainer.storage.project import display_path

if TYPE_CHECKING:
    from pathlib import Path


def similar(path: Path, root: Path) -> tuple[str, ...]:
    """Return files beside a missing one that may have been meant."""
    beside = [found.name for found in path.parent.iterdir()] if path.parent.is_dir() else []
    return tuple(display_path(path.with_name(found), root) for found in nearest(path.name, beside))


def declared_by(component: Any, spec: Mapping[str, Any], path: ConfigPath) -> list[str]:
    """Return what a component's `files()` names; raise ConfigError where that is no list of paths."""
    with told_at(path, f"In `files`, {called(spec)}"):
        files = component.files()
        # Text would be taken for a list of its letters.
        listed = list(files) if isinstance(files, Iterable) and not isinstance(files, str | bytes) else [None]
    paths = [file for file in listed if isinstance(file, str | bytes | os.PathLike)]
    if len(paths) < len(listed):
        message = f"`files()` of {called(spec)} returned {files!r}, which is not a list of paths."
        hint = "Let it return a list of paths, `[]` where there are none."
        raise ConfigError(message, title="wrong data files", config_path=path, hint=hint)
    names = [os.fsdecode(file) for file in paths]
    if any(known().shown_in(name) for name in names):
        message = f"`files()` of {called(spec)} names a file by a secret, and what is read is written down."
        hint = "Name files by what may be seen."
        raise ConfigError(message, title="secret out of place", config_path=path, hint=hint)
    return names


def called(spec: Mapping[str, Any]) -> str:
    return f"`{spec.get('_type_') or spec.get('_target_')}`"


@contextmanager
def told_at(path: ConfigPath, who: str) -> Iterator[None]:
    """Let what a component raises be told at its place in the config, with the lines of the user's own."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as cause:
        message = f"{who} raised {type(cause).__name__}: {cause}".removesuffix(": ")
        related = own_lines(cause)
        raise ConfigError(message, title="component failed", config_path=path, related=related, hint=MEND) from cause

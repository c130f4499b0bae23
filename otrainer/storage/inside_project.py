"""Where a run may write: a relative path of a config stays in the project, an absolute one is taken as meant.

Looked at when an experiment is validated and again where it writes, since links may have appeared in between.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from otrainer.errors import ConfigError, ConfigPath, Finding

TITLE = "path leads out of the project"
LONGEST = 255
OF_A_SHELL = re.compile(r"~|\$\w|\$\{\w+\}")
ANOTHER = "Leave out what does not print, and let each part be shorter."
# The built-in components that write, and the argument that says where; it is their first one.
WRITERS = {"cb.model_checkpoint": "save_dir", "log.json_lines": "path"}


def refuse_outside(path: str | os.PathLike[str], root: Path, config_path: ConfigPath = ()) -> None:
    """Raise ConfigError where `path`, which is relative to the project's `root`, leads out of it."""
    if problem := way_out(path, root):
        raise ConfigError.of([outside(problem, config_path)])


def all_outside(config: Mapping[str, Any], root: Path) -> Iterator[Finding]:
    """Yield a finding for every path that a config writes to and that leads out of the project, or is no path."""
    told: list[Path] = []
    for path, config_path in written(config):
        if not is_path(path):
            yield Finding(f"`{ascii(path)[1:-1]}` is no path.", "invalid path", config_path, hint=ANOTHER)
        elif told and any(Path(path).is_relative_to(each) for each in told):
            continue  # below a folder that is told already, and mended with it
        elif OF_A_SHELL.match(path):
            told.append(Path(path))
            message = f"`{path}` would be a folder of that very name: `~` and `$NAME` mean something to a shell alone."
            yield Finding(message, "invalid path", config_path, hint="Write `${env:HOME}/...`, or the whole path.")
        elif problem := way_out(path, root):
            told.append(Path(path))
            yield outside(problem, config_path)


def written(config: Mapping[str, Any]) -> Iterator[tuple[str, ConfigPath]]:
    """Yield the paths that a config writes to with their places: the run's folder, those of built-in components."""
    run = config.get("run")
    if isinstance(run, Mapping) and isinstance(run.get("out_dir"), str):
        yield run["out_dir"], ("run", "out_dir")
    for section, value in config.items():
        if section not in ("run", "params", "settings"):
            yield from written_by(value, (section,))


def written_by(value: Any, path: ConfigPath) -> Iterator[tuple[str, ConfigPath]]:
    if isinstance(value, Mapping):
        yield from writes_of(value, path)
        inside: Iterable[tuple[Any, Any]] = value.items()
    else:
        inside = enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        if not isinstance(item, str | int | float | None):  # most of what there is
            yield from written_by(item, (*path, key))


def writes_of(spec: Mapping[str, Any], path: ConfigPath) -> Iterator[tuple[str, ConfigPath]]:
    """Yield where the component of a spec writes, however the argument is given."""
    name = WRITERS.get(str(spec.get("_type_")))
    if name is None:
        return
    kwargs, args = spec.get("_kwargs_"), spec.get("_args_")
    given = [(spec.get(name), (*path, name))]
    if isinstance(kwargs, Mapping):
        given.append((kwargs.get(name), (*path, "_kwargs_", name)))
    if isinstance(args, list) and args:
        given.append((args[0], (*path, "_args_", 0)))
    yield from ((value, place) for value, place in given if isinstance(value, str))


def is_path(text: str) -> bool:
    """Return whether a text can name a file: no control characters, and parts that common file systems take."""
    try:
        parts = os.fsencode(text).split(b"/")
    except UnicodeEncodeError:  # half of a character
        return False
    return max(map(len, parts)) <= LONGEST and not any(unicodedata.category(char) == "Cc" for char in text)


def way_out(path: str | os.PathLike[str], root: Path) -> str | None:
    """Say how a relative `path` leaves `root`, or that it is `root` itself; return None where it lies below."""
    text = os.fspath(path)
    if os.path.isabs(text):  # noqa: PTH117 - asked often, and of text
        return None
    whole = os.path.realpath(root)
    place = os.path.realpath(os.path.join(whole, text))  # noqa: PTH118
    if place == whole:
        return f"`{text}` is the project's own folder."
    if place.startswith(whole.rstrip(os.sep) + os.sep):
        return None
    base = Path(whole)
    link = link_out(text, base)
    where = f": `{link.relative_to(base).as_posix()}` is a link to `{os.path.realpath(link)}`" if link else ""
    return f"`{text}` leads out of the project{where}."


def link_out(text: str, base: Path) -> Path | None:
    """Return the first link on the way that leads out of `base`."""
    here = base
    for part in Path(text).parts:
        here = here.parent if part == ".." else here / part
        if here.is_symlink() and not Path(os.path.realpath(here)).is_relative_to(base):
            return here
    return None


def outside(problem: str, config_path: ConfigPath) -> Finding:
    hint = "Name a folder in the project; if the place outside is meant, write its absolute path."
    return Finding(problem, TITLE, config_path, hint=hint)

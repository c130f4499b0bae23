"""An experiment is a YAML file: how it is found by name, and what it says about itself in its first comment."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from otrainer.errors import ConfigError, nearest
from otrainer.storage import process_memory
from otrainer.storage.project import display_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import StrPath

# Where doit was called, which moves to the folder of dodo.py.
CALLING_FOLDER = "calling folder"
EXPERIMENTS = Path("configs", "experiments")
INSIDE = "configs/experiments/"
BUILD = Path("build")
SUFFIXES = (".yaml", ".yml")
LISTED = 20
HEAD_BYTES = 4096
SENTENCE = re.compile(r".+?[.!?](?=\s|$)")
MODELINE = re.compile(r"(yaml-language-server:|-\*-|vim?:|yamllint |%YAML)")


class Experiment(NamedTuple):
    """One YAML file and where its artifacts go; both paths start from the project root, or are absolute outside it."""

    name: str
    file: Path
    build: Path

    def __hash__(self) -> int:
        return hash(self.name)  # asked for often, and paths are slow to

    @property
    def task_name(self) -> str:
        """The name in doit's tasks, where `=` would set a variable and `*` match others."""
        return self.name.replace("=", "%3D").replace("*", "%2A")

    def built(self, artifact: str) -> Path:
        """Return where an artifact of this experiment lies, such as `resolved.json`."""
        return built(self.build, artifact)


@cache
def built(folder: Path, artifact: str) -> Path:
    """Return where an artifact lies in a folder; that of a thousand experiments is asked for several times."""
    return folder / artifact


# What stages are about that concern the whole project: their artifacts lie beside the experiments' folders.
ALL = Experiment("all experiments", EXPERIMENTS, BUILD)


def find_experiment(text: str, root: Path) -> Experiment:
    """Find the experiment that `text` means: a name, a name in a subfolder, or a path to a YAML file anywhere.

    Raises ConfigError with the nearest names for an unknown one.
    """
    for candidate in (*candidates(text), *from_calling_folder(text)):
        if os.path.isfile(root / candidate):  # noqa: PTH113 - a Path raises where a name is too long for a file
            return experiment_of(candidate, root)
    names = [experiment.name for experiment in all_experiments(root)]
    ends = {name.rpartition("/")[2]: name for name in names}
    near = nearest(text, names) or tuple(ends[end] for end in nearest(text.rpartition("/")[2], ends))
    message = f"There is no experiment `{text}`."
    raise ConfigError(message, title="unknown experiment", suggestions=near, hint=listed(names))


def candidates(text: str) -> Iterator[Path]:
    """Yield the files that `text` may mean, likeliest first; a name never leads out of the experiments' folder."""
    if text.strip("/."):
        path = Path(text).expanduser()
        if not path.is_absolute() and ".." not in path.parts:
            for suffix in ("", *SUFFIXES):
                yield EXPERIMENTS / f"{path}{suffix}"
        yield path


def from_calling_folder(text: str) -> Iterator[Path]:
    """Yield the file that a relative path means in the folder where doit was called, if that is another one."""
    folder = process_memory.get(CALLING_FOLDER, str)
    if folder and text.strip("/."):
        yield Path(folder, text)


def experiment_of(file: StrPath, root: Path) -> Experiment:
    """Return the experiment of a YAML file that exists; `file` is absolute or starts from `root`."""
    absolute = os.path.normpath(os.path.join(root, file))  # noqa: PTH118 - of a thousand files, and of text
    inside = display_path(absolute, root)
    if inside.startswith(INSIDE):
        name = short_name(inside.removeprefix(INSIDE), root)
        return Experiment(name, Path(inside), BUILD / name)
    mark = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:8]
    return Experiment(inside, Path(inside), BUILD / f"{Path(absolute).stem}-{mark}")


def short_name(inside: str, root: Path) -> str:
    """Return `sub/x` for `sub/x.yaml`; the suffix stays where a like-named file goes first."""
    bare, suffix = os.path.splitext(inside)  # noqa: PTH122
    if suffix not in SUFFIXES:
        return inside
    earlier = SUFFIXES[: SUFFIXES.index(suffix)]
    return inside if any((root / EXPERIMENTS / f"{bare}{other}").is_file() for other in earlier) else bare


def all_experiments(root: Path) -> list[Experiment]:
    """Return every experiment below `configs/experiments`, subfolders included, sorted by name.

    Hidden files do not count, nor what is no regular file or has a name that no terminal shows as it is.
    """
    found = (experiment_of(path, root) for path in yaml_files(root / EXPERIMENTS))
    return sorted(found, key=lambda experiment: experiment.name)


def listed_experiment(file: Any, root: Path) -> Experiment | None:
    """Return the one of all experiments that has this file, as a run.json names it; None where none has.

    What a run folder names is data: somebody else may have written it.
    """
    if not isinstance(file, str) or not file.isprintable() or os.path.normpath(file) != file:
        return None
    path = Path(file)
    names = path.parts[len(EXPERIMENTS.parts) :]
    if not path.is_relative_to(EXPERIMENTS) or path.suffix not in SUFFIXES or any(name[0] == "." for name in names):
        return None
    folders = [root / above for above in path.parents if above.is_relative_to(EXPERIMENTS) and above != EXPERIMENTS]
    # A Path raises where a name is too long for a file.
    if any(map(os.path.islink, folders)) or not os.path.isfile(root / path):  # noqa: PTH113
        return None
    return experiment_of(path, root)


def yaml_files(folder: str | Path) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or not entry.name.isprintable():
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from yaml_files(entry.path)
        elif entry.name.endswith(SUFFIXES) and entry.is_file():
            yield entry.path


def listed(names: list[str]) -> str:
    """List the names in one line that stays readable among thousands."""
    if not names:
        return f"There is none yet: write `{EXPERIMENTS.as_posix()}/NAME.yaml`."
    more = len(names) - LISTED
    shown = ", ".join(names[:LISTED])
    return f"There are: {shown}{f', and {more} more (`doit list` shows them)' if more > 0 else ''}."


def sentence(experiment: Experiment, root: Path) -> str:
    """Return the first sentence of the comment that opens the experiment's file, else its name."""
    try:
        with (root / experiment.file).open("rb") as stream:
            head = stream.read(HEAD_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return experiment.name
    text = " ".join(opening_comment(head))
    if not text.isprintable():
        text = "".join(char if char.isprintable() else "\ufffd" for char in text)
    first = SENTENCE.match(text)
    return first.group() if first else text or experiment.name


def opening_comment(head: str) -> Iterator[str]:
    """Yield the words of the first block of comment lines, if nothing but blank lines goes before it."""
    started = False
    for line in map(str.strip, head.splitlines()):
        words = line.lstrip("#").strip()
        if line.startswith("#") and not MODELINE.match(words):
            if words.strip("-=~*_"):
                started = True
                yield words
            elif started:
                return
        elif started or not (line in {"", "---"} or line.startswith(("#", "%YAML"))):
            return

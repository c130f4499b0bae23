"""A world: a project, what lies around it, and the environment in which it is trained; all that an edit may change."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

PROJECT = "project"
NUMBER = re.compile(r"\b[1-9]\d\d\b")


@dataclass
class World:
    """A folder with a project in it; links there are relative, so that a copy is a world of its own."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    pythonpath: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder / PROJECT

    @property
    def site(self) -> Path | None:
        """Where `.pth` files lie, as a virtual environment has them."""
        folder = self.folder / "site"
        return folder if folder.is_dir() else None

    @property
    def environ(self) -> dict[str, str]:
        path = os.pathsep.join(str(self.folder / name) for name in self.pythonpath)
        return {**self.variables, **({"PYTHONPATH": path} if path else {})}

    def path(self, name: str) -> Path:
        """Return a place by its name from the world's folder; `@` stands for the project's."""
        return self.folder / name.replace("@", PROJECT, 1)

    def write(self, name: str, content: str | bytes) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_bytes(content.encode() if isinstance(content, str) else content)

    def link(self, name: str, to: str) -> None:
        """Let `name` be a link to the place `to`, whatever it was."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(os.path.relpath(self.path(to), path.parent))

    def restore(self, earlier: World) -> None:
        """Let all that is the user's be as it was, with its times; what was built and trained stays."""
        for path in self.folder.iterdir():
            if path != self.root:
                shutil.rmtree(path)
        for path in self.root.iterdir():
            if path.name not in ("build", "runs"):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.copytree(earlier.folder, self.folder, symlinks=True, dirs_exist_ok=True)
        self.variables, self.pythonpath = dict(earlier.variables), list(earlier.pythonpath)

    def copied(self, folder: Path) -> World:
        """Copy all that is the user's, with times; what was built, trained or compiled is left out."""
        left_out = shutil.ignore_patterns("__pycache__", "build", "runs")
        shutil.copytree(self.folder, folder, symlinks=True, ignore=left_out)
        return World(folder, dict(self.variables), list(self.pythonpath))


Change = Callable[[World, Random], bool | None]


@dataclass(frozen=True)
class Edit:
    """A change of a world; `change` returns False where it cannot be made there."""

    kind: str
    change: Change


@dataclass
class Feature:
    """One way in which something outside of a class flows into what it trains.

    `code` is that of a module of the project, which leaves the value as `VALUE`, or gives it by `value()` in each step or
    by `initial()` when the loss is built. `data` are declared files, `named` an expression by which `files()` finds more.
    """

    kind: str
    code: str
    edits: list[Edit]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    pythonpath: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    named: str = ""
    defaults: tuple[str, ...] = ()


def number(rng: Random) -> int:
    return rng.randrange(100, 1000)


def renumbered(text: str, rng: Random) -> str:
    """The text with another number of three digits in the place of its first one."""

    def other(match: re.Match[str]) -> str:
        return str(100 + (int(match[0]) - 100 + rng.randrange(1, 900)) % 900)

    return NUMBER.sub(other, text, count=1)


def content(name: str) -> Edit:
    """Another number in a file."""

    def change(world: World, rng: Random) -> bool:
        path = world.path(name)
        if not path.is_file():
            return False
        path.write_text(renumbered(path.read_text(), rng))
        return True

    return Edit("another content", change)


def unnoticed(name: str) -> Edit:
    """Another number in a file, which keeps its size and time."""

    def change(world: World, rng: Random) -> bool:
        path = world.path(name)
        if not path.is_file():
            return False
        status = path.stat()
        path.write_text(renumbered(path.read_text(), rng))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return True

    return Edit("another content of the same size and time", change)


def replaced(name: str) -> Edit:
    """Another file is renamed over this one, of the same size and time."""

    def change(world: World, rng: Random) -> bool:
        path = world.path(name)
        if not path.is_file():
            return False
        status, beside = path.stat(), path.with_name(".replacing")
        beside.write_text(renumbered(path.read_text(), rng))
        os.utime(beside, ns=(status.st_atime_ns, status.st_mtime_ns))
        beside.rename(path)
        return True

    return Edit("a file of the same size and time in its place", change)


def dated(name: str) -> Edit:
    """Another number in a file, whose time lies years before or ahead, as after a checkout or under a wrong clock."""

    def change(world: World, rng: Random) -> bool:
        path = world.path(name)
        if not path.is_file():
            return False
        path.write_text(renumbered(path.read_text(), rng))
        os.utime(path, (rng.choice([1_300_000_000, 2_000_000_000]),) * 2)
        return True

    return Edit("another content of an odd time", change)


def added(name: str, text: str, kind: str = "added") -> Edit:
    def change(world: World, _rng: Random) -> bool:
        if world.path(name).exists():
            return False
        world.write(name, text)
        return True

    return Edit(kind, change)


def removed(name: str) -> Edit:
    def change(world: World, _rng: Random) -> bool:
        path = world.path(name)
        if not path.exists():
            return False
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return True

    return Edit("removed", change)


def renamed(name: str, to: str) -> Edit:
    def change(world: World, _rng: Random) -> bool:
        source, target = world.path(name), world.path(to)
        if not source.exists():
            source, target = target, source
        if not source.exists() or target.exists():
            return False
        source.rename(target)
        return True

    return Edit("renamed", change)


def relinked(name: str, *targets: str) -> Edit:
    """Point a link at another one of the places."""

    def change(world: World, rng: Random) -> bool:
        now = world.path(name).resolve()
        world.link(name, rng.choice([each for each in targets if world.path(each).resolve() != now]))
        return True

    return Edit("linked elsewhere", change)


def varied(name: str, *values: str | None) -> Edit:
    """Another value of an environment variable; None unsets it."""

    def change(world: World, rng: Random) -> bool:
        value = rng.choice([each for each in values if each != world.variables.get(name)])
        world.variables.pop(name, None)
        world.variables.update({} if value is None else {name: value})
        return True

    return Edit("another variable", change)

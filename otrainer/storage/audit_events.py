"""Which files the events of Python's audit hooks name, where it is not Python that opens them: libraries, programs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

URI = "file:"


def library(name: Any, *_: Any) -> Iterator[str]:
    """Yield the library that ctypes loads, unless the system looks for it by name."""
    if isinstance(name, str | bytes) and "/" in os.fsdecode(name):
        yield os.fsdecode(name)


def extension(_module: Any, file: Any, *_: Any) -> Iterator[str]:
    """Yield the compiled module that an import loads; sources are told by what runs."""
    if isinstance(file, str):
        yield file


def database(name: Any, *_: Any) -> Iterator[str]:
    """Yield the file of a database, which may be given by a URI."""
    if isinstance(name, str | bytes | os.PathLike):
        path = os.fsdecode(name)
        yield unquote(path.removeprefix(URI).partition("?")[0]) if path.startswith(URI) else path


def program(executable: Any, arguments: Any, folder: Any = None, *_: Any) -> Iterator[str]:
    """Yield the files that say what a new process does: the program, and the script that it is given first."""
    words = [os.fsdecode(each) for each in listed(arguments) if isinstance(each, str | bytes | os.PathLike)]
    if words[1:2] == ["-c"]:
        words = [*words[:1], *split(" ".join(words[2:3]))]
    scripts = [word for word in words[1:] if not word.startswith("-")]
    found = [os.fsdecode(each) for each in (executable,) if isinstance(each, str | bytes | os.PathLike)]
    for word in dict.fromkeys([*found, *words[:1], *scripts[:2]]):
        yield str(Path(os.fsdecode(folder or ""), word))


def command(line: Any, *_: Any) -> Iterator[str]:
    """Yield the files that a command of the shell begins with."""
    yield from program(None, split(os.fsdecode(line)))


def listed(arguments: Any) -> Sequence[Any]:
    return arguments if isinstance(arguments, list | tuple) else [arguments]


def split(line: str) -> list[str]:
    with suppress(ValueError):  # of quotes that do not match
        return shlex.split(line)
    return line.split()


# What in an event names the files that it is about.
FILES: dict[str, Callable[..., Iterator[str]]] = {
    "ctypes.dlopen": library,
    "import": extension,
    "sqlite3.connect": database,
    "subprocess.Popen": program,
    "os.posix_spawn": program,
    "os.system": command,
}

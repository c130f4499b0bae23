"""Which files this process has open or mapped, whoever opened them: libraries in C tell Python nothing of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROCESS = Path("/proc/self")


def held_files() -> set[str]:
    """Return the files that are held to be read; none where the system does not say."""
    with suppress(OSError):
        return {*opened(), *mapped()}
    return set()


def opened() -> Iterator[str]:
    for link in (PROCESS / "fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if is_read_only(link.name):
                yield str(link.readlink())


def is_read_only(descriptor: str) -> bool:
    """Return whether a descriptor can be read from, and not be written to."""
    lines = (PROCESS / "fdinfo" / descriptor).read_text().splitlines()
    flags = next((line.partition(":")[2] for line in lines if line.startswith("flags:")), "1")
    return int(flags, 8) & os.O_ACCMODE == os.O_RDONLY


def mapped() -> Iterator[str]:
    for line in (PROCESS / "maps").read_text(errors="surrogateescape").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith("/") and "w" not in fields[1]:
            yield fields[5]

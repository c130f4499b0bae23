"""Reports to the letter, kept as text beside what a user wrote.

A list in `golden/` holds cases, each of files and what is drawn of them:

    === a sentence that names the case
    --- exp.yaml
    schduler: {}
    --- drawn
    unknown section ── exp.yaml:1:1
    ...

Files of a case `=== shared` belong to all cases of the list; one marked `(escaped)` holds bytes as Python writes them.
The cases of `resolve*` and `validate*` go through these doors; in other lists the function of `provoked.py` that is
called as the case makes the mistake. All that is drawn is written anew by

    PYTHONPATH=.:tests python -m diagnostics.golden
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

from otrainer.config import resolve_config
from otrainer.config.errors import ResolveError
from otrainer.diagnostics.drawing import draw_all
from otrainer.errors import ConfigError, Finding

FOLDER = Path(__file__).with_name("golden")
SHARED, DRAWN, ESCAPED = "shared", "drawn", " (escaped)"
ENV = {"SEED": "eight", "BLANK": " "}
PLUGINS = "plug"


@dataclass(frozen=True)
class Case:
    """What is written, besides what its whole list shares, and what is drawn of it."""

    list: str
    name: str
    files: dict[str, str]
    shared: dict[str, str]
    drawn: str

    def now(self) -> tuple[Sequence[Finding], str]:
        """What is found wrong, and how it is drawn, in a folder that holds the files."""
        with laid_out({**self.shared, **self.files}):
            door = next((door for name, door in DOORS.items() if self.list.startswith(name)), provoked)
            found = door(self.name)
            return found, masked(draw_all(found))


def cases() -> list[Case]:
    """The cases of all lists."""
    return [case for path in sorted(FOLDER.glob("*.txt")) for case in read(path)]


def read(path: Path) -> Iterator[Case]:
    shared: dict[str, str] = {}
    for name, body in titled("===", path.read_text(encoding="utf-8")):
        files = dict(titled("---", body))
        drawn = files.pop(DRAWN, "").strip("\n")
        if name == SHARED:
            shared = files
        else:
            yield Case(path.stem, name, files, shared, drawn)


def titled(mark: str, text: str) -> list[tuple[str, str]]:
    parts = re.split(rf"(?m)^{mark} (.*)\n", text)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


@contextmanager
def laid_out(files: dict[str, str]) -> Iterator[None]:
    """A folder with `files`, as the working directory and first on the path; its plugins are forgotten afterwards."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for name, text in files.items():
            path = Path(name.removesuffix(ESCAPED))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(unescaped(text) if name.endswith(ESCAPED) else text.encode())
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)
            for name in [name for name in sys.modules if name.partition(".")[0] == PLUGINS]:
                del sys.modules[name]


def unescaped(text: str) -> bytes:
    return text.removesuffix("\n").encode().decode("unicode_escape").encode("latin-1")


def resolved(_case: str) -> Sequence[Finding]:
    try:
        resolve_config("exp.yaml", env=ENV)
    except ConfigError as error:
        return error.findings
    return ()


def validated(_case: str) -> Sequence[Finding]:
    from otrainer.stages.trials import all_mistakes
    from otrainer.storage import process_memory

    process_memory.forget("judgements")
    try:
        return all_mistakes(resolve_config("exp.yaml", env=ENV))
    except ResolveError as error:
        return error.findings if error.partial is None else all_mistakes(error.partial, error.findings)


def provoked(case: str) -> Sequence[Finding]:
    import diagnostics.provoked as functions

    try:
        found = getattr(functions, case.replace(" ", "_"))()
    except ConfigError as error:
        found = error.findings
    found = [found] if isinstance(found, Finding) else found
    if not Path("exp.yaml").exists():
        return found
    places = resolve_config("exp.yaml").source_map  # as the stage does at whose end the mistake is told
    return ConfigError.of(found).located(places).findings


DOORS = {"resolve": resolved, "validate": validated}


def masked(text: str) -> str:
    """`text` without what is another in each process and on each machine."""
    for found, mask in ((os.getcwd(), "PROJECT"), (str(os.getpid()), "PID"), (os.uname().nodename, "HOST")):  # noqa: PTH109
        text = text.replace(found, mask)
    return text


def main() -> None:
    """Write anew what is drawn, and say what changed."""
    for path in sorted(FOLDER.glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        shown = {case.name: case.now()[1] for case in read(path)}
        blocks = []
        for name, body in titled("===", text):
            written = body.partition("--- drawn\n")[0].rstrip("\n")
            drawn = f"--- drawn\n{shown[name]}" if name in shown else ""
            blocks.append("\n".join(filter(None, [f"=== {name}", written, drawn])) + "\n")
        new = "\n".join(blocks)
        print(path.name, "unchanged" if new == text else "changed")
        path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Represent a mistake as data, a finding that knows its place, and raise it as a ConfigError."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ConfigPath = tuple[str | int, ...]
# Something else has the name of what is to be written, or of a folder above it.
IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.EINVAL, errno.ESPIPE)


class SourceLocation(NamedTuple):
    """A place in a text file; `line` and `col` count from 1, in characters."""

    file: str
    line: int
    col: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}"


class Places(Protocol):
    """Turns a config path into the place where the user wrote it, and knows what includes a file."""

    def locate(self, path: ConfigPath, *, key: bool = False) -> SourceLocation | None: ...

    def includes_of(self, file: str) -> tuple[SourceLocation, ...]: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake: what is wrong, where, what may have been meant, and what to do next.

    `on_key` says that the mapping key at `config_path` is at fault rather than its value;
    `related` names further places, each with its role ("first given here"); `includes` are the entries of `defaults`
    that lead to the file, from the innermost to the experiment's own. `details` hold the message with all that belongs
    to it, laid out already, as a traceback is. What was being done ("validating") and for whom, the door adds.
    """

    message: str
    title: str = "invalid config"
    config_path: ConfigPath = ()
    _: KW_ONLY
    location: SourceLocation | None = None
    on_key: bool = False
    suggestions: tuple[str, ...] = ()
    hint: str = ""
    related: tuple[tuple[str, SourceLocation], ...] = ()
    includes: tuple[SourceLocation, ...] = ()
    details: str = ""
    doing: str = ""
    experiments: tuple[str, ...] = ()

    def located(self, places: Places) -> Finding:
        """Return the finding with its place, and what includes that file, filled in as far as `places` knows them."""
        at = self.location
        if at is None and self.config_path:
            at = places.locate(self.config_path, key=self.on_key)
        if at is None or self.includes:
            return self
        return replace(self, location=at, includes=places.includes_of(at.file))

    def at_least(self, path: ConfigPath) -> Finding:
        """Return the finding, at `path` unless it has a place of its own."""
        return self if self.config_path or self.location else replace(self, config_path=path)

    def under(self, path: ConfigPath) -> Finding:
        """Return the finding with `path` before its own."""
        return replace(self, config_path=(*path, *self.config_path))


class ConfigError(Exception):
    """One or several mistakes of the user; the attributes are the first one's.

    `config_path` is a tuple of keys and indices, `location` a SourceLocation or None, `suggestions` a list of names.
    """

    def __init__(
        self,
        message: str,
        *,
        title: str = "invalid config",
        config_path: ConfigPath = (),
        location: SourceLocation | None = None,
        on_key: bool = False,
        suggestions: Sequence[str] = (),
        hint: str = "",
        related: Sequence[tuple[str, SourceLocation]] = (),
    ) -> None:
        finding = Finding(message, title, tuple(config_path), location=location, on_key=on_key, hint=hint)
        self._keep((replace(finding, suggestions=tuple(suggestions), related=tuple(related)),))

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> ConfigError:
        """Return an error that carries all `findings` (at least one), ordered by file and line, each once."""
        error = cls.__new__(cls)
        error._keep(tuple(ordered(findings)))
        return error

    def _keep(self, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        super().__init__("\n".join(map(one_line, findings)))

    @property
    def config_path(self) -> ConfigPath:
        return self.findings[0].config_path

    @property
    def location(self) -> SourceLocation | None:
        return self.findings[0].location

    @property
    def suggestions(self) -> list[str]:
        return list(self.findings[0].suggestions)

    def located(self, places: Places) -> ConfigError:
        """Return an error whose findings have their places filled in."""
        return ConfigError.of(finding.located(places) for finding in self.findings)

    def at_least(self, path: ConfigPath) -> ConfigError:
        """Return an error whose findings are at `path` unless they have places of their own."""
        return ConfigError.of(finding.at_least(path) for finding in self.findings)

    def under(self, path: ConfigPath) -> ConfigError:
        """Return an error with `path` before the path of every finding."""
        return ConfigError.of(finding.under(path) for finding in self.findings)

    def __reduce__(self) -> tuple[object, ...]:
        return ConfigError.of, (self.findings,)


def not_written(error: OSError, config_path: ConfigPath = ()) -> Finding:
    """Return the finding for a file or folder that the operating system lets nobody write."""
    is_taken = error.errno in IN_THE_WAY
    hint = "Move away what is in its place." if is_taken else "Make room there, or let this user write to it."
    return Finding(f"`{error.filename}` cannot be written: {error.strerror}.", "cannot write", config_path, hint=hint)


@contextmanager
def errors_at(*path: str | int) -> Iterator[None]:
    """Attach a config path to errors raised in the block that have no place of their own."""
    try:
        yield
    except ConfigError as error:
        raise error.at_least(path) from error.__cause__


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings by file and position, those without a place last, each once."""

    def position(finding: Finding) -> tuple[bool, str, int, int]:
        at = finding.location
        return (True, "", 0, 0) if at is None else (False, at.file, at.line, at.col)

    return sorted(dict.fromkeys(findings), key=position)


def dotted(path: Iterable[str | int]) -> str:
    """Return `("layers", 0, "_type_")` as people write it: `layers[0]._type_`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


# A search takes a tenth of a second or so at most, whatever a config holds: these bound the length of a name that is
# compared and the pairs of letters; among more choices than that allows, only those with the same first letter count.
LONGEST, PAIRS = 100, 1_000_000


def nearest(name: str, choices: Iterable[str], *, most: int = 3) -> tuple[str, ...]:
    """Return the names most like `name`, best first; one that differs in case or a prefix alone comes before others."""
    from difflib import get_close_matches  # the check that nothing changed needs none of it

    known = sorted(set(choices))
    bare = name.lower().rpartition(".")[2]
    same = [choice for choice in known if choice.lower() == name.lower() or choice.lower().rpartition(".")[2] == bare]
    lowered = {choice.lower(): choice for choice in reversed(known)}
    room = 0 if len(name) > LONGEST else PAIRS // (len(name) ** 2 + 1)
    alike = lowered if len(lowered) <= room else [choice for choice in lowered if choice[:1] == name[:1].lower()][:room]
    close = [lowered[match] for match in get_close_matches(name.lower(), alike, n=most, cutoff=0.6)]
    return tuple(dict.fromkeys([*same, *close]))[:most]


def is_whole(value: object, least: int = 1) -> TypeGuard[int]:
    """Return whether `value` is a whole number from `least` on; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_whole(name: str, value: object, least: int = 1, *, optional: bool = False) -> None:
    """Raise ValueError unless the argument `name` is a whole number from `least` on, or None where it is `optional`."""
    if not is_whole(value, least) and not (optional and value is None):
        raise ValueError(f"{name} is a whole number from {least} on{' or null' if optional else ''}, not {value!r}")


def check_positive(name: str, value: object) -> None:
    """Raise ValueError unless the argument `name` is a number above 0, or None."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
        raise ValueError(f"{name} is a number above 0 or null, not {value!r}")


def did_you_mean(suggestions: Sequence[str]) -> str:
    """Return a closing question that names the suggestions, or nothing."""
    return f" Did you mean {' or '.join(f'`{name}`' for name in suggestions)}?" if suggestions else ""


def one_line(finding: Finding) -> str:
    """Return the finding as a log line: message, dotted path and place."""
    path = f" path={dotted(finding.config_path)}" if finding.config_path else ""
    place = f" loc={finding.location}" if finding.location else ""
    return f"{finding.message}{did_you_mean(finding.suggestions)}{path}{place}"

"""`${secret:VAR}`: read at the moment of building, and kept out of every text that otrainer writes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from otrainer.errors import ConfigPath, Finding

TOKEN = re.compile(r"(?P<escape>\$\$\{(?=secret:))|\$\{secret:(?P<name>[^{}]*)\}")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets that one value refers to. Its `repr` does not show them."""

    values: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, value: object, path: ConfigPath) -> tuple[Secrets, list[Finding]]:
        """The secrets inside `value` from the environment, and a finding for each that is not there."""
        values: dict[str, str] = {}
        findings: list[Finding] = []
        for name, place in references(value, path):
            if name in os.environ and NAME.fullmatch(name):
                values[name] = os.environ[name]
            else:
                findings.append(not_set(name, place))
        return cls(values), findings

    def fill(self, text: str) -> str:
        """`text` with its references replaced, and `$${secret:` as the literal `${secret:`."""

        def one(match: re.Match[str]) -> str:
            return "${" if match["escape"] else self.values[match["name"].strip()]

        return TOKEN.sub(one, text) if "secret" in text else text

    def redact(self, text: str) -> str:
        """`text` with every secret written as its reference again, the longest first."""
        for name, secret in sorted(self.values.items(), key=lambda item: -len(item[1])):
            text = text.replace(secret, f"${{secret:{name}}}") if secret else text
        return text

    def shown_by(self, error: BaseException | None) -> bool:
        """Whether printing `error` with its causes would print a secret."""
        if error is None or not self.values:
            return False
        texts = (str(error), repr(error))
        return any(self.redact(text) != text for text in texts) or any(
            self.shown_by(earlier) for earlier in (error.__cause__, error.__context__)
        )


def references(value: object, path: ConfigPath) -> Iterator[tuple[str, ConfigPath]]:
    """Every secret that `value` refers to, by name and place."""
    if isinstance(value, str):
        for match in TOKEN.finditer(value):
            if not match["escape"]:
                yield match["name"].strip(), path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from references(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from references(item, (*path, index))


def not_set(name: str, place: ConfigPath) -> Finding:
    if not NAME.fullmatch(name):
        message = f"`{name}` cannot be the name of an environment variable."
        return Finding(message, "malformed secret", place, hint="Write `${secret:NAME}`.")
    message = f"The environment variable `{name}` is not set, and a secret is to be read from it."
    return Finding(message, "missing secret", place, hint=f"Set it before training: `export {name}=...`.")

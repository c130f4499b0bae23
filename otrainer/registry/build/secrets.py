"""`${secret:VAR}`: read at the moment of building, and kept out of every text that otrainer writes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from otrainer.config.expressions import NAME
from otrainer.config.secrets import REFERRED_TO, TOKEN, mentions, references, secrets_in
from otrainer.diagnostics.redaction.streams import conceal
from otrainer.diagnostics.redaction.values import SHORTEST
from otrainer.errors import ConfigError, ConfigPath, Finding
from otrainer.storage import process_memory


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets that one value refers to. Its `repr` does not show them."""

    values: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, value: object, path: ConfigPath) -> tuple[Secrets, list[Finding]]:
        """Read the secrets inside `value` from the environment; return a finding for each that cannot be used."""
        values: dict[str, str] = {}
        findings: list[Finding] = []
        for name, place in references(value, path) if mentions(value) else ():
            problem = problem_with(name)
            if problem is None:
                values[name] = os.environ[name]
            else:
                findings.append(Finding(problem.message, problem.title, place, hint=problem.hint))
        conceal(values)
        return cls(values), findings

    def fill(self, text: str) -> str:
        """Return `text` with its references replaced, and `$${secret:` as the literal `${secret:`."""

        def one(match: re.Match[str]) -> str:
            return "${" if match["escape"] else self.values[match["name"].strip()]

        return TOKEN.sub(one, text) if "secret" in text else text


def conceal_secrets(config: object) -> None:
    """Keep the secrets that `config` refers to out of what this process prints from here on, as far as they are set.

    Their variables are then no input of any code: another value of a secret retrains nothing.
    """
    names = secrets_in(config)
    process_memory.put(REFERRED_TO, frozenset(names))
    conceal({name: os.environ[name] for name in names if problem_with(name) is None})


def require_secrets(value: object, path: ConfigPath = ()) -> None:
    """Raise ConfigError for every secret in `value` that cannot be used."""
    _, findings = Secrets.read(value, path)
    if findings:
        raise ConfigError.of(findings)


def problem_with(name: str) -> Finding | None:
    """Return a finding if the variable `name` gives no secret; its value is never shown."""
    if not NAME.fullmatch(name):
        message = f"`{name}` cannot be the name of an environment variable."
        return Finding(message, "malformed secret", hint="Write `${secret:NAME}`.")
    value = os.environ.get(name)
    if value is None:
        message = f"The environment variable `{name}` is not set, and a secret is to be read from it."
        return Finding(message, "missing secret", hint=f"Set it before training: `export {name}=...`.")
    if len(value.strip()) < SHORTEST:
        message = f"The secret in the environment variable `{name}` has fewer than {SHORTEST} characters."
        hint = "Choose a longer one: this is part of too many words and numbers to be kept out of logs."
        return Finding(message, "secret too short", hint=hint)
    return None

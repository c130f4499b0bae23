"""Whether sources and data are still those that were validated: as a training begins, and when it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.errors import ConfigError
from otrainer.stages.definition import fingerprints, outdated
from otrainer.storage.data_files import identify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otrainer.fingerprint import Fingerprints
    from otrainer.stages.plan import Plan


def refuse_changed(plan: Plan, root: Path) -> Fingerprints:
    """Return a look at the sources as they are now; raise ConfigError where these, or data, are not as validated."""
    prints = fingerprints(root)
    changed = [*changed_code(plan, prints), *(f"`{name}`" for name in changed_data(plan, root))]
    if changed:
        message = f"Since it was validated, {', '.join(changed)} changed."
        raise ConfigError(message, title="changed meanwhile", hint="Run the same command again.")
    return prints


def changed_code(plan: Plan, prints: Fingerprints) -> list[str]:
    """Return the parts whose code is another one than was validated, in words."""
    return [f"the code of `{key}`" for key in outdated(plan.code, prints)]


def changed_data(plan: Plan, root: Path) -> dict[str, str]:
    """Return the data files of another content than was validated, with the hash of what they hold now, if anything."""
    found = {name: content_of(name, root) for name in plan.data_files}
    return {name: sha256 for name, sha256 in found.items() if sha256 != plan.data_files[name]["sha256"]}


def content_of(name: str, root: Path) -> str:
    try:
        return identify(name, root).sha256
    except OSError:
        return ""


def told_at_the_end(code: Sequence[str], data: Sequence[str]) -> list[str]:
    """Say of a finished run what changed while it trained, a sentence each."""
    said = []
    if code:
        said.append(
            f"{in_words(code)} changed while it trained: what was trained is the code as it was when the run began. "
            "The next `doit train` trains anew, with the code as it is now."
        )
    if data:
        said.append(
            f"{in_words([f'`{name}`' for name in data])} changed while it trained, and may have been read before and "
            "after. The next `doit train` trains anew."
        )
    return said


def in_words(names: Sequence[str]) -> str:
    text = ", ".join(names)
    return text[0].upper() + text[1:]

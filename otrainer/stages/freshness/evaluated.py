"""What an evaluation is made of, each by its content: weights, data, and the config and code that judge them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from otrainer.registry.effects import WHOLE, as_counted, uncounted
from otrainer.registry.usage import ROOT_KEY, keys_in
from otrainer.storage.canonical_json import digest
from otrainer.storage.data_files import identify

if TYPE_CHECKING:
    from pathlib import Path

# Of what is done here. Another one makes all evaluations stale.
VERSION = 1
JUDGING = ("model", "data", "io", "loss", "metrics", "trainer")
OTHER = ("optimizer", "scheduler", "callbacks", "loggers", "weights")
# Settings of a run by which the same weights come to other values.
NUMERICS = ("seed", "device", "precision", "deterministic", "compile", "matmul_precision")


def made_of(validated: Mapping[str, Any], checkpoint: Path, root: Path) -> dict[str, Any]:
    """Return what an evaluation of a checkpoint is made of, by what `validate` left: hashes by names.

    Raises OSError where the checkpoint cannot be read.
    """
    config, code = validated["config"], validated["code"]
    counted = as_counted(config, uncounted(config, code))
    run = {name: value for name, value in counted["run"].items() if name in NUMERICS}
    sections = {"run": run, **{name: counted[name] for name in JUDGING if name in counted}}
    return {
        "version": VERSION,
        "weights": identify(checkpoint, root).sha256,
        "config": {name: digest(value) for name, value in sections.items()},
        "code": {row["key"]: row["fingerprint"] for row in code if judges(row, config)},
        "data": {name: facts["sha256"] for name, facts in validated["data_files"].items()},
    }


def judges(row: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Return whether a row of the code may act in an evaluation: all but what other sections alone name."""
    if WHOLE in row.get("without_effect", ()):
        return False
    elsewhere = {key for _, _, key in keys_in({name: config[name] for name in OTHER if name in config})}
    here = {key for _, _, key in keys_in({name: value for name, value in config.items() if name not in OTHER})}
    return row["key"] == ROOT_KEY or row["key"] in here or row["key"] not in elsewhere


def differences(before: Any, now: Mapping[str, Any], checkpoint: str) -> Iterator[str]:
    """Yield what an evaluation was made of otherwise, as reasons to make it anew."""
    before = before if isinstance(before, Mapping) else {}
    if before.get("version") != now["version"]:
        yield "This version of otrainer does it in another way."
    if before.get("weights") != now["weights"]:
        yield f"`{checkpoint}` is another one."
    for name in changed(before.get("config"), now["config"]):
        yield f"`{name}` changed."
    for name in changed(before.get("code"), now["code"]):
        yield f"The code of `{name}` changed."
    for name in changed(before.get("data"), now["data"]):
        yield f"`{name}` changed."


def changed(before: Any, now: Mapping[str, Any]) -> list[str]:
    """Return the names of what is another one, new or gone."""
    known = before if isinstance(before, Mapping) else {}
    return [name for name in dict.fromkeys([*now, *known]) if known.get(name) != now.get(name)]

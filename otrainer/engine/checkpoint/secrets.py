"""A run's state without its secrets: a checkpoint holds references to them, and what is read back, their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from otrainer.diagnostics.redaction.values import Masks, known
from otrainer.engine.checkpoint.plain import is_leaf
from otrainer.engine.tree import children, is_tensor, leaves_with_paths, with_children
from otrainer.errors import ConfigError, Finding, dotted

# Parts that are otrainer's own through and through; of the others all texts count, but for the names of weights.
OWN = ("parameters", "flags", "train_state", "rng", "meta")
BYTES = (torch.uint8, torch.int8)
LONGEST = 1 << 20


def concealed(state: dict[str, Any], config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parts of a checkpoint with references in place of the secrets that `config` names; `meta` lists them.

    Without a config, all count that this process has read. Raises ConfigError for one inside a tensor.
    """
    if not known():
        return state
    from otrainer.config.secrets import references  # with it comes all that reads configs

    masks = known() if config is None else known().only(name for name, _ in references(config))
    if not masks:
        return state
    refuse_in_tensors({name: part for name, part in state.items() if name not in OWN}, masks)
    changed = every_text(state, masks.held)
    return {**changed, "meta": {**changed["meta"], "secrets": sorted(masks.values)}}


def revealed(parts: dict[str, Any]) -> dict[str, Any]:
    """Return what `concealed` was given, with the values that this process has read; revealing it again is harmless.

    Plain attributes (see `part_state`) that hold an unknown secret, or a part of one, are left out, so that those of
    the new component stay. Raises ConfigError where anything else holds one.
    """
    if "secrets" not in parts["meta"]:
        return parts
    parts = {name: part if name in OWN else without_lost(part) for name, part in parts.items()}
    refuse_lost(parts)
    given = every_text(parts, known().given_back)
    return {**given, "meta": {name: value for name, value in given["meta"].items() if name != "secrets"}}


def every_text(parts: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    changed = {
        name: part if name in OWN else each_text(part, change, keys=name != "model") for name, part in parts.items()
    }
    return {**changed, "meta": {**parts["meta"], "built": each_text(parts["meta"]["built"], change)}}


def each_text(value: Any, change: Callable[[str], str], *, keys: bool = True) -> Any:
    """Return the same data with every text changed, and every key that is one; without `keys`, not those on top."""
    if type(value) is str:
        return change(value)
    if type(value) is bytes:
        return change(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    if is_leaf(value):
        return value
    renamed = change if keys else str
    return with_children(
        value,
        [(renamed(key) if type(key) is str else key, each_text(item, change)) for key, item in children(value) or ()],
    )


def lost(value: Any) -> Iterator[str]:
    """Yield the names of secrets in concealed data that cannot be given back."""
    found: list[str] = []

    def note(text: str) -> str:
        found.extend(known().lost_in(text))
        return text

    each_text(value, note)
    yield from dict.fromkeys(found)


def without_lost(value: Any) -> Any:
    """Return the state of a part, or of a list of them, without plain attributes that cannot be given back."""
    if type(value) is list:
        return [without_lost(item) for item in value]
    if type(value) is not dict:
        return value
    if "attributes" in value and value.keys() <= {"attributes", "trained"}:
        found = {name: item for name, item in value["attributes"].items() if not any(lost({name: item}))}
        return {**value, "attributes": found}
    return {name: without_lost(item) if name in ("state", "module") else item for name, item in value.items()}


def refuse_lost(parts: dict[str, Any]) -> None:
    findings = [
        Finding(
            f"The `{section}` of the checkpoint holds the secret `{name}` or a part of it, which cannot be given back.",
            "secret of a checkpoint",
            (section,),
            hint="Let the config name the secret as it did, or train from the start.",
        )
        for section, part in parts.items()
        if section not in OWN
        for name in lost(part)
    ]
    if findings:
        raise ConfigError.of(findings)


def refuse_in_tensors(state: Any, masks: Masks) -> None:
    """Raise ConfigError where a small tensor of bytes spells a secret, which could not be replaced in there."""
    for path, leaf in leaves_with_paths(state, is_tensor):
        if spells_secret(leaf, masks):
            message = f"The tensor `{dotted(path)}` of the run's state spells a secret, which no checkpoint may hold."
            hint = "Leave it out of `state_dict()`: after a resume the component is built with the secret again."
            raise ConfigError(message, title="state cannot be saved", config_path=path[:1], hint=hint)


def spells_secret(leaf: Any, masks: Masks) -> bool:
    if not is_tensor(leaf) or leaf.dtype not in BYTES or leaf.numel() > LONGEST or leaf.is_meta:
        return False
    return masks.shown_in(leaf.detach().cpu().contiguous().numpy().tobytes().decode("utf-8", "surrogateescape"))

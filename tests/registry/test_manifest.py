"""The manifest holds all that a registry holds, as data that is the same in every process."""

from __future__ import annotations

import json

from otrainer.fingerprint import Fingerprints
from otrainer.registry import build_registry
from otrainer.registry.manifest import manifest_of


def test_every_key_and_op_has_its_row() -> None:
    registry = build_registry()
    manifest = manifest_of(registry, Fingerprints())

    assert list(manifest["modules"]) == registry.list_modules()
    assert list(manifest["ops"]) == registry.list_ops()
    row = manifest["modules"]["cb.early_stopping"]
    assert row["target"] == "otrainer.components.callbacks.early_stopping:EarlyStopping"
    assert row["signature"] == "(monitor='val_loss', mode='min', patience=3, min_delta=0.0, every='validation')"
    assert (row["policy"], len(row["fingerprint"])) == ("strict", 64)


def test_it_is_json_without_addresses() -> None:
    class Thing:
        pass

    def make(thing: object = Thing()) -> None:
        pass

    registry = build_registry()
    registry.register_module("my.thing", make)
    text = json.dumps(manifest_of(registry, Fingerprints()))

    assert " at 0x" not in text
    assert json.loads(text) == manifest_of(registry, Fingerprints())

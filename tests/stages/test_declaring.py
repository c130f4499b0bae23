"""`files()` is asked of what a spec comes to, whatever makes it; what cannot have it is not built."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from otrainer.config.resolve import resolve_config
from otrainer.fingerprint import Fingerprints
from otrainer.registry import build_registry, load_plugins
from otrainer.stages.plan import stamp_data
from otrainer.storage.watch_reads import ReadTracker

PLUGIN = """\
import functools

import torch

MADE = []


class Plain:
    def __init__(self, path):
        self.path = path

    def files(self):
        return [self.path]

    @classmethod
    def at(cls, folder, path):
        return cls(f"{folder}/{path}")


class Below(Plain):
    pass


def function(path):
    return Below(path)


def inner(path):
    class Local:
        def files(self):
            return [path]

    return Local()


class Handed:
    def __init__(self, path):
        self.files = lambda: [path]


class Given:
    def __new__(cls, path):
        return Plain(path)


class Layer(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(10**6, 10**6))
        self.path = path

    def files(self):
        assert self.weight.is_meta
        return [self.path]


class Meta(type):
    def __call__(cls, path):
        return Plain(path)


class Metered(metaclass=Meta):
    pass


class Callable:
    def __call__(self, path):
        return Plain(path)


class Without:
    def __init__(self, path):
        MADE.append("a class")


def without(path, files=()):
    MADE.append("a function")
    return object()


def register(registry):
    kinds = {
        "class": Plain,
        "inherited": Below,
        "function": function,
        "inner": inner,
        "partial": functools.partial(function),
        "partial_class": functools.partial(Plain),
        "class_method": functools.partial(Plain.at, "."),
        "handed": Handed,
        "given": Given,
        "metered": Metered,
        "callable": Callable(),
        "layer": Layer,
        "without_class": Without,
        "without_function": without,
    }
    for name, factory in kinds.items():
        registry.register_module(f"my.{name}", factory)
"""
KINDS = ("class", "inherited", "function", "inner", "partial", "partial_class", "class_method", "handed", "given")
KINDS += ("metered", "callable")
LAYER = {"sequential": {"layers": [{"_type_": "my.layer", "path": "a.txt"}]}}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dc_plugin.py").write_text(PLUGIN)
    for name in ("dodo.py", "a.txt"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "dc_plugin", raising=False)
    return tmp_path


def declared(root: Path, **sections: Any) -> list[str]:
    settings = {"allow_target": True, "allowed_import_prefixes": ["dc_plugin"]}
    raw = {"schema_version": 1, "model": {}, "settings": settings, "imports": ["dc_plugin"], **sections}
    config, registry = resolve_config(raw), build_registry()
    load_plugins(["dc_plugin"], registry=registry, settings=config.settings)
    return list(stamp_data(config, registry, Fingerprints(root=root), root, ReadTracker(root)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["data", "callbacks", "nested"])
def test_whatever_makes_it_a_component_is_asked_for_its_files(root: Path, kind: str, place: str) -> None:
    spec = {"_type_": f"my.{kind}", "path": "a.txt"}
    sections = {"data": {"data": spec}, "callbacks": {"callbacks": [spec]}, "nested": {"loss": {"of": {"any": [spec]}}}}

    assert declared(root, **sections[place]) == ["a.txt"]


@pytest.mark.parametrize("name", ["Plain", "Below", "function", "inner", "Given", "Handed"])
def test_so_is_a_target(root: Path, name: str) -> None:
    assert declared(root, metrics=[{"_target_": f"dc_plugin.{name}", "path": "a.txt"}]) == ["a.txt"]


def test_so_is_a_layer_of_the_model_which_takes_no_memory_for_it(root: Path) -> None:
    """Its weight would take four terabytes."""
    assert declared(root, model=LAYER) == ["a.txt"]


@pytest.mark.parametrize("kind", ["without_class", "without_function"])
def test_what_has_no_files_is_not_built(root: Path, kind: str) -> None:
    assert declared(root, loss={"_type_": f"my.{kind}", "path": "a.txt"}) == []
    assert sys.modules["dc_plugin"].MADE == []

"""A package that is missing is told with the command that installs it."""

from __future__ import annotations

import pytest

from otrainer.registry.plugins.install_hint import extra_with, how_to_install


@pytest.mark.parametrize(
    ("package", "extra"),
    [("torchmetrics", "metrics"), ("safetensors", "data"), ("scikit_learn", "examples"), ("pandas", None)],
)
def test_an_extra_is_found_by_the_package_that_it_brings(package: str, extra: str | None) -> None:
    assert extra_with(package) == extra


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere_to_be_found.part", "Run `pip install nowhere_to_be_found`, or what brings it."),
        ("json.nowhere", ""),
        (None, ""),
    ],
)
def test_what_is_there_or_has_no_name_needs_no_installing(name: str | None, words: str) -> None:
    assert how_to_install(ModuleNotFoundError("gone", name=name)) == words


def test_an_extra_comes_before_the_package_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otrainer.registry.plugins.install_hint.is_there", lambda package: False)

    assert how_to_install(ModuleNotFoundError("gone", name="sklearn.svm")) == "Run `pip install 'otrainer[examples]'`."
    assert how_to_install(ImportError("half of it is gone", name="torchmetrics")) == ""

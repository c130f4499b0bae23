"""Keys, ops and the handshake at registration."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from otrainer.diagnostics.drawing import draw_error
from otrainer.errors import ConfigError
from otrainer.registry import KNOWN_HOOKS, Registry, build_registry
from otrainer.registry.contracts import breaches


@dataclass
class Plain:
    size: int = 3


class Documented:
    """Does one thing.

    And explains it at length.
    """


def error_of(registry: Registry, *args: object, **kwargs: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        registry.register_module(*args, **kwargs)
    return caught.value


def test_an_entry_tells_what_was_registered_and_where():
    registry = Registry()
    registry.register_module(
        "block.plain", Plain, signature_policy="best_effort", tags=["block", "ext"], doc="A block."
    )
    entry = registry.get_module("block.plain")
    assert (entry.name, entry.factory, entry.target) == ("block.plain", Plain, Plain)
    assert (entry.signature_policy, entry.tags, entry.doc) == ("best_effort", ("block", "ext"), "A block.")
    file, _, line = entry.origin.rpartition(":")
    assert Path(file).name == "test_registry.py"
    assert line.isdigit()


def test_the_doc_defaults_to_the_first_line_of_the_docstring_but_not_to_what_dataclass_writes():
    registry = Registry()
    registry.register_module("a", Documented)
    registry.register_module("b", Plain)
    registry.register_module("c", "no.such.module:attr")
    assert [registry.get_module(key).doc for key in "abc"] == ["Does one thing.", "", ""]


def test_keys_and_ops_are_listed_in_order_and_live_apart():
    registry = Registry()
    for name in ("b", "a"):
        registry.register_module(name, Plain)
        registry.register_op(name, abs)
    assert registry.list_modules() == registry.list_ops() == ["a", "b"]
    assert registry.get_op("a") is abs


def test_a_string_factory_is_imported_only_when_its_target_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "imported_late.py").write_text("class Outer:\n    class Inner: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry()
    registry.register_module("late", "imported_late:Outer.Inner")
    assert "imported_late" not in sys.modules
    assert registry.get_module("late").target.__qualname__ == "Outer.Inner"


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("no_such_module_here:x", ["`late`", "`no_such_module_here:x`", "ModuleNotFoundError"]),
        ("json:nothing", ["`late`", "`json:nothing`", "AttributeError"]),
        ("json:__name__", ["`late`", "cannot be called"]),
    ],
)
def test_a_factory_that_cannot_be_imported_names_key_module_and_cause(factory, words):
    registry = Registry()
    registry.register_module("late", factory)
    with pytest.raises(ConfigError) as caught:
        _ = registry.get_module("late").target
    assert all(word in str(caught.value) for word in words)


def test_a_class_that_only_a_newer_torch_has_says_so():
    registry = Registry()
    registry.register_module("nn.Tomorrow", "torch.nn:Tomorrow")
    with pytest.raises(ConfigError) as caught:
        _ = registry.get_module("nn.Tomorrow").target
    assert caught.value.findings[0].hint == "The installed torch does not have it; a newer one may."


def test_a_taken_key_is_an_error_that_names_both_places():
    registry = Registry()
    registry.register_module("block.plain", Plain)
    first = registry.get_module("block.plain").origin
    error = error_of(registry, "block.plain", Plain)
    assert first in str(error)
    assert error.location is not None
    assert str(error.location).startswith(first.rpartition(":")[0])
    assert "it is built in" in str(error_of(build_registry(), "nn.Linear", Plain))


def test_a_taken_op_is_an_error():
    with pytest.raises(ConfigError, match="The op `add` is taken: it is built in"):
        build_registry().register_op("add", max)


@pytest.mark.parametrize("key", ["", "a b", "1a", "a.", ".a", "a..b", "ä", 3, None, "a\n"])
def test_a_malformed_key_is_refused(key):
    assert "cannot be a key" in str(error_of(Registry(), key, Plain))


@pytest.mark.parametrize("key", ["mlp", "cb.my-team.early_stop", "_x", "a.1"])
def test_dotted_names_with_digits_and_hyphens_are_keys(key):
    Registry().register_module(key, Plain)


@pytest.mark.parametrize("factory", [3, None, "no_colon", "a:b:c", "a: b"])
def test_what_cannot_be_called_is_refused(factory):
    assert "cannot be called" in str(error_of(Registry(), "a", factory))


def test_all_that_is_wrong_with_one_registration_comes_together():
    error = error_of(Registry(), "a b", 3, signature_policy="stict")
    assert [finding.title for finding in error.findings] == ["invalid registration"] * 3
    assert ("strict",) in [finding.suggestions for finding in error.findings]


def test_an_unknown_key_knows_the_nearest_ones_even_without_its_prefix():
    registry = build_registry()
    for wrong, right in [
        ("cb.model_chekpoint", "cb.model_checkpoint"),
        ("Linear", "nn.Linear"),
        ("offline_trainer.trainer.default", "trainer.default"),
        ("optim_cls.AdamV", "optim_cls.Adam"),
        ("sched_cls.Cosine", "sched_cls.CosineAnnealingLR"),
        ("sched_cls.Plateau", "sched_cls.ReduceLROnPlateau"),
        ("optm_cls.AdamW", "optim_cls.AdamW"),
        ("data.image_foldr", "dataset.image_folder"),
        ("data.random", "data.random_regression"),
    ]:
        with pytest.raises(ConfigError) as caught:
            registry.get_module(wrong)
        assert caught.value.suggestions[0] == right
    with pytest.raises(ConfigError, match="no op `ad`") as caught:
        registry.get_op("ad")
    assert caught.value.suggestions == ["add"]


@pytest.mark.parametrize("name", ["data.of_mine", "io.mine", "optim_cls.LAMB", "cb.slack", "loss.focal"])
def test_a_key_of_ones_own_is_not_taken_for_another_of_its_family(name):
    assert build_registry().unknown_module(name).suggestions == ()


def test_an_unknown_key_is_drawn_with_the_next_step():
    with pytest.raises(ConfigError) as caught:
        build_registry().get_module("trainer.defualt")
    assert draw_error(caught.value) == (
        "unknown component\n"
        "  No component is registered as `trainer.defualt`. Did you mean `trainer.default`?\n"
        "  Keys of a plugin exist once its module is listed under `imports`."
    )


class Bare: ...


class MisspeltHook:
    def on_epoch_ends(self, ctx): ...


class MisspeltLog:
    def log_metric(self, metrics, *, step, stage): ...


class NarrowHook:
    def on_exception(self, ctx): ...


class GoodCallback:
    state: dict

    def on_exception(self, ctx, exc): ...
    def on_fit_end(self, *args): ...
    def once(self): ...


class GoodLogger:
    def log_metrics(self, metrics, **kwargs): ...
    @staticmethod
    def log_hparams(hparams): ...
    def close(self): ...


class GoodTrainer:
    def fit(self, **kwargs): ...


class Dynamic:
    def __getattr__(self, name): ...


@pytest.mark.parametrize(
    ("key", "method"),
    [
        ("trainer.x", "fit(*, model, datamodule"),
        ("data.x", "train_dataloader()"),
        ("io.x", "split(batch, *, stage)"),
        ("loss.x", "__call__(*, outputs, targets, batch, stage)"),
        ("optim_factory.x", "build(model, *, registry)"),
        ("sched_factory.x", "build(optimizer, *, registry)"),
    ],
)
def test_a_class_without_the_method_that_its_prefix_needs_is_refused(key, method):
    error = error_of(Registry(), key, Bare)
    assert f"`{key}`: `Bare` has no" in str(error)
    assert f"Define `{method}" in error.findings[0].hint


def test_a_misspelt_hook_is_told_with_the_hook_that_was_meant():
    error = error_of(Registry(), "cb.x", MisspeltHook)
    assert error.suggestions[0] == "on_epoch_end"
    assert error_of(Registry(), "log.x", MisspeltLog).suggestions[0] == "log_metrics"


def test_a_hook_that_does_not_take_what_it_is_given_is_refused():
    assert "on_exception(ctx, exc)" in error_of(Registry(), "cb.x", NarrowHook).findings[0].hint


def test_whatever_can_be_called_as_the_trainer_calls_is_accepted():
    registry = Registry()
    registry.register_module("cb.x", GoodCallback)
    registry.register_module("log.x", GoodLogger)
    registry.register_module("trainer.x", GoodTrainer)
    registry.register_module("io.x", Dynamic)
    registry.register_module("io.function", lambda: None)
    registry.register_module("other.x", Bare)


def test_the_hooks_are_those_of_the_document():
    hooks = ("on_fit_start", "on_train_step_end", "on_epoch_end", "on_exception", "on_fit_end")
    assert [name for name in KNOWN_HOOKS if name in hooks] == [*hooks]


def test_listing_keys_imports_neither_torch_nor_yaml():
    code = (
        "import sys, otrainer.registry as r; keys = r.build_registry().list_modules(); "
        "print(len(keys), sorted({'torch', 'yaml', 'numpy'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.split(maxsplit=1)[1].strip() == "[]"


class HalfStateful:
    def state_dict(self): ...
    def load_statedict(self, state): ...


def test_a_state_that_nothing_could_load_is_refused_with_the_name_that_was_meant() -> None:
    for prefix in ("cb", "metric", "log", "loss"):
        (breach,) = (each for each in breaches(f"{prefix}.half", HalfStateful) if "state_dict" in each.message)
        assert breach.suggestions == ("load_statedict",)
        assert "no `load_state_dict`" in breach.message
    assert not [each for each in breaches("cb.whole", dict) if "state_dict" in each.message]


class OnlyLoads:
    def load_state_dict(self, state): ...
    def stat_dict(self): ...


class BothMisspelt:
    def statedict(self): ...
    def load_state_dic(self, state): ...


class SpeaksOfOtherStates:
    def load_state(self, name): ...
    def state(self): ...
    def state_dir(self): ...


def test_so_is_a_misspelt_state() -> None:
    (breach,) = (each for each in breaches("cb.x", OnlyLoads) if "state" in each.message)
    assert (
        breach.message
        == "`OnlyLoads` has `load_state_dict` and no `state_dict`: nothing would be saved that it could load."
    )
    assert breach.suggestions == ("stat_dict",)

    both = [each for each in breaches("cb.x", BothMisspelt) if "state" in each.message]
    assert [each.suggestions for each in both] == [("state_dict",), ("load_state_dict",)]
    assert "`BothMisspelt.statedict` is never called" in both[0].message
    assert not list(breaches("cb.x", SpeaksOfOtherStates))

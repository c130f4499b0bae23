"""Sections, key families and `run` are checked before anything is imported, all mistakes together."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest

from otrainer.config.checks import check_sections
from otrainer.config.sections import RUN_KEYS
from otrainer.config.validate import validate_post_model, validate_preflight
from otrainer.engine.state import NO_KEYS, RunSettings
from otrainer.errors import ConfigError
from otrainer.registry import build_registry


def whole(**changes: Any) -> dict[str, Any]:
    """A config in which nothing is wrong, but for `changes` (None takes a section out)."""
    data: dict[str, Any] = {
        "schema_version": 1,
        "run": {"name": "a", "out_dir": "runs/a"},
        "model": {},
        "trainer": {"_type_": "trainer.default"},
        "data": {"_type_": "data.random_regression"},
        "io": {"_type_": "io.mapping", "model_kwargs": {"x": ["x"]}},
        "loss": {"_type_": "loss.torch", "fn": {"_type_": "nn.MSELoss"}},
        "optimizer": {"_type_": "optim_factory.torch", "type": "optim_cls.SGD"},
        **changes,
    }
    return {key: value for key, value in data.items() if value is not None}


def found(data: dict[str, Any], **options: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    return [
        (finding.title, ".".join(map(str, finding.config_path)), finding.suggestions)
        for finding in check_sections(data, strict=options.pop("strict", True), **options)
    ]


def test_a_whole_config_has_no_mistakes() -> None:
    assert found(whole()) == []
    assert found(whole(scheduler=None, callbacks=[], params={"a": 1}, imports=[], settings={})) == []


@pytest.mark.parametrize("name", ["run", "trainer", "data", "io", "loss", "optimizer"])
def test_required_sections_are_missed(name: str) -> None:
    assert found(whole(**{name: None})) == [("missing section", name, ())]


def test_unknown_sections_are_told_under_strict_unless_an_expression_reads_them() -> None:
    data = whole(schduler={}, quantities={"a": 1})

    assert found(data) == [
        ("unknown section", "schduler", ("scheduler",)),
        ("unknown section", "quantities", ()),
    ]
    assert found(data, used={"quantities"}) == [("unknown section", "schduler", ("scheduler",))]
    assert found(data, strict=False) == []


@pytest.mark.parametrize(
    ("change", "title", "path", "suggestions"),
    [
        ({"loss": {"_type_": "trainer.default"}}, "wrong kind of component", "loss._type_", ()),
        ({"loss": {"_type_": "torch"}}, "wrong kind of component", "loss._type_", ("loss.torch",)),
        ({"loss": {"type": "loss.torch"}}, "`_type_` is needed", "loss", ()),
        ({"loss": ["loss.torch"]}, "not a component", "loss", ()),
        ({"loss": "loss.torch"}, "not a component", "loss", ()),
        ({"callbacks": {"_type_": "cb.model_checkpoint"}}, "not a list", "callbacks", ()),
        ({"callbacks": [{"_type_": "log.stdout"}]}, "wrong kind of component", "callbacks.0._type_", ()),
        ({"metrics": ["metric.torchmetrics"]}, "not a component", "metrics.0", ()),
        (
            {"optimizer": {"_type_": "optim_factory.torch", "type": "AdamW"}},
            "wrong kind of class",
            "optimizer.type",
            ("optim_cls.AdamW",),
        ),
        ({"optimizer": {"_type_": "optim_factory.torch"}}, "`type` is needed", "optimizer", ()),
        (
            {"scheduler": {"_type_": "sched_factory.torch", "type": "optim_cls.SGD"}},
            "wrong kind of class",
            "scheduler.type",
            (),
        ),
    ],
)
def test_each_section_takes_its_own_family_of_keys(
    change: dict[str, Any], title: str, path: str, suggestions: tuple[str, ...]
) -> None:
    assert found(whole(**change)) == [(title, path, suggestions)]


@pytest.mark.parametrize("section", ["optimizer", "scheduler"])
def test_a_factory_of_ones_own_may_need_no_class_but_one_that_is_given_is_checked(section: str) -> None:
    own = {"_type_": "optim_factory.mine" if section == "optimizer" else "sched_factory.mine"}

    assert found(whole(**{section: own})) == []
    assert found(whole(**{section: {"_target_": "extensions.mine.Factory"}})) == []
    assert found(whole(**{section: {**own, "type": "SGD"}}))[0][:2] == ("wrong kind of class", f"{section}.type")


@pytest.mark.parametrize("section", ["optimizer", "scheduler"])
@pytest.mark.parametrize("key", ["_type_", "_target_"])
def test_arguments_of_optimizer_and_scheduler_are_plain_data(section: str, key: str) -> None:
    prefix, cls = (
        ("optim_factory", "optim_cls.SGD") if section == "optimizer" else ("sched_factory", "sched_cls.StepLR")
    )
    spec = {"_type_": f"{prefix}.torch", "type": cls, "args": [{"a": {key: "x"}}], "kwargs": {"b": [{key: "x"}]}}

    assert [path for _, path, _ in found(whole(**{section: spec}))] == [
        f"{section}.args.0.a.{key}",
        f"{section}.kwargs.b.0.{key}",
    ]


def test_a_misspelt_key_of_run_is_told_with_the_nearest() -> None:
    assert found(whole(run={"name": "a", "out_dir": "b", "sede": 1})) == [("unknown key", "run.sede", ("seed",))]


@pytest.mark.parametrize("value", [None, {}, {"name": "a"}, {"out_dir": "b"}])
def test_a_run_needs_its_name_and_its_folder(value: Any) -> None:
    given = value or {}
    expected = [f"run.{key}" for key in ("name", "out_dir") if key not in given] if value is not None else ["run"]

    assert [path for _, path, _ in found(whole(run=value))] == expected


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("name", ["a", "a-1.b_c"], ["", " ", "a/b", "..", "-a", 3, "a b"]),
        ("out_dir", ["runs/a", "/tmp/a"], ["", 1]),  # noqa: S108 - a path in a config
        ("seed", [0, 2**63 - 1, None], [-1, 2**63, 1.0, True, "1"]),
        ("device", ["cpu", "cuda:1", None], ["", 0]),
        ("precision", ["fp32", "fp16-mixed", "bf16-mixed", "bf16", None], ["fp16", "bf32", 16]),
        ("deterministic", [True, False, None], ["yes", 1]),
        ("compile", [True, False, None, {}, {"mode": "max-autotune", "fullgraph": True}], ["yes", 1, {"mood": "x"}]),
        ("matmul_precision", ["highest", "high", "medium", None], ["low", True, 3]),
        ("resume_from", ["runs/a/last.pt", None], ["", 1]),
    ],
)
def test_values_of_run_are_of_their_kind(key: str, good: list[Any], bad: list[Any]) -> None:
    base = {"name": "a", "out_dir": "b"}
    for value in good:
        assert found(whole(run={**base, key: value})) == []
    for value in bad:
        assert [path for _, path, _ in found(whole(run={**base, key: value}))] == [f"run.{key}"], value


@pytest.mark.parametrize(
    ("key", "value", "message", "hint"),
    [
        ("seed", "3", "not the text `3`.", "`${env:int:NAME,3}`"),
        ("seed", "-3", "not `-3`.", "Write `seed: 0`"),
        ("deterministic", "false", "not the text `false`.", "`${env:bool:NAME,false}`"),
        ("deterministic", "Yes", "not the text `Yes`.", "`${env:bool:NAME,Yes}`"),
        ("compile", "true", "not the text `true`.", "`${env:bool:NAME,true}`"),
        ("compile", "fast", "not `fast`.", "Write `compile: true`"),
        ("name", 7, "not an integer, which is what YAML reads here.", 'in quotes: `name: "..."`'),
        ("name", 12e34, "not a float, which is what YAML reads here.", 'in quotes: `name: "..."`'),
        ("name", True, "not a boolean, which is what YAML reads here.", 'in quotes: `name: "..."`'),
    ],
)
def test_a_value_of_another_kind_is_told_with_what_makes_it_the_right_one(
    key: str, value: Any, message: str, hint: str
) -> None:
    (finding,) = check_sections(whole(run={"name": "a", "out_dir": "b", key: value}), strict=True)

    assert finding.message.endswith(message)
    assert hint in finding.hint
    assert finding.suggestions == ()


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("bfloat16", ("bf16-mixed", "bf16")),
        ("16-mixed", ("fp16-mixed",)),
        (16, ("fp16-mixed",)),
        ("32", ("fp32",)),
    ],
)
def test_a_precision_by_another_name_is_told_with_ours(value: Any, meant: tuple[str, ...]) -> None:
    (finding,) = check_sections(whole(run={"name": "a", "out_dir": "b", "precision": value}), strict=True)

    assert finding.suggestions == meant


def test_every_key_of_run_is_tested_above() -> None:
    assert set(RUN_KEYS) == {part.name for part in fields(RunSettings)} - set(NO_KEYS)


def test_preflight_raises_everything_together() -> None:
    with pytest.raises(ConfigError) as error:
        validate_preflight(whole(run={"name": "a"}, loss=None, schduler={}))

    assert {finding.config_path for finding in error.value.findings} == {("run", "out_dir"), ("loss",), ("schduler",)}


class Model:
    inputs = ("image", "mask")


def test_post_model_wants_registered_keys_and_exactly_the_models_inputs() -> None:
    io = {"_type_": "io.mapping", "model_kwargs": {"image": ["x"], "maks": ["y"]}}
    data = whole(
        io=io, loss={"_type_": "loss.torhc"}, optimizer={"_type_": "optim_factory.torch", "type": "optim_cls.Adan"}
    )
    with pytest.raises(ConfigError) as error:
        validate_post_model(data, build_registry(), Model())

    assert {(finding.config_path, finding.suggestions[:1]) for finding in error.value.findings} == {
        (("io", "model_kwargs", "maks"), ("mask",)),
        (("loss", "_type_"), ("loss.torch",)),
        (("optimizer", "type"), ("optim_cls.Adam",)),
    }


def test_an_input_that_nothing_fills_is_told() -> None:
    data = whole(io={"_type_": "io.mapping", "model_kwargs": {"image": ["x"]}})
    with pytest.raises(ConfigError, match="input `mask` is filled by nothing"):
        validate_post_model(data, build_registry(), Model())


def test_an_optional_input_may_be_left_out_and_is_the_one_that_was_meant() -> None:
    model = SimpleNamespace(inputs=["image", "mask"], optional_inputs={"mask": None})
    io = {"_type_": "io.mapping", "model_kwargs": {"image": ["x"]}}
    validate_post_model(whole(io=io), build_registry(), model)
    with pytest.raises(ConfigError) as error:
        io = {"_type_": "io.mapping", "model_kwargs": {"image": ["x"], "maks": ["y"]}}
        validate_post_model(whole(io=io), build_registry(), model)
    assert [(each.message, each.suggestions) for each in error.value.findings] == [
        ("The model has no input `maks`.", ("mask",))
    ]


def test_of_thousands_of_unknown_sections_a_thousand_are_told() -> None:
    with pytest.raises(ConfigError) as caught:
        validate_preflight(whole(**{f"sectoin_{number}": 1 for number in range(3_000)}))
    assert len(caught.value.findings) == 1_001
    assert "too many mistakes" in {finding.title for finding in caught.value.findings}


@pytest.mark.parametrize(
    ("section", "step"),
    [
        ({"scheduler": "None"}, "Write `scheduler: null` for none."),
        ({"callbacks": "none"}, "Write `callbacks: []` for none."),
        ({"run": {"name": "a", "out_dir": "b", "resume_from": "None"}}, "Write `resume_from: null`, or leave it out."),
        ({"run": {"name": "a", "out_dir": "b", "seed": "None"}}, "Write `seed: null`, or leave it out."),
    ],
)
def test_none_is_called_null(section, step):
    assert step in [finding.hint for finding in check_sections(section, strict=True)]

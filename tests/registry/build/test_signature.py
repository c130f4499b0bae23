"""Whether arguments fit, judged before anything is called."""

from __future__ import annotations

import functools
import inspect
from typing import overload

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import AdamW

from otrainer.errors import ConfigError
from otrainer.registry import check_call, validate_kwargs


def plain(a, b=1, *, c=2): ...
def only_position(a, /, b): ...
def open_ended(a, *rest, **more): ...


class Overloaded:
    @overload
    def __init__(self, size: int) -> None: ...
    @overload
    def __init__(self, *args, **kwargs) -> None: ...
    def __init__(self, *args, **kwargs) -> None: ...


def titles(target, *args, policy="strict", skip=0, **kwargs):
    return [finding.title for finding in check_call(target, args, kwargs, policy, ("at",), skip=skip)]


def test_an_unknown_keyword_points_to_its_key_and_lists_what_there_is():
    with pytest.raises(ConfigError) as caught:
        validate_kwargs(
            AdamW, kwargs={"lr": 1, "weigth_decay": 2}, policy="strict", config_path=("optimizer", "kwargs")
        )
    (finding,) = caught.value.findings
    assert (finding.config_path, finding.on_key) == (("optimizer", "kwargs", "weigth_decay"), True)
    assert finding.suggestions[0] == "weight_decay"
    assert finding.message == "`AdamW` has no argument `weigth_decay`."
    assert finding.hint.startswith("It takes params, lr, betas")


def test_validate_kwargs_checks_names_only():
    validate_kwargs(plain, kwargs={"b": 1}, policy="strict", config_path=())


def test_what_the_caller_gives_itself_cannot_be_given_by_keyword():
    with pytest.raises(ConfigError, match="`params` of `AdamW` is given by the caller already"):
        validate_kwargs(AdamW, kwargs={"params": 1}, policy="strict", config_path=(), skip=1)


@pytest.mark.parametrize(
    ("target", "args", "kwargs", "expected"),
    [
        (plain, (1, 2), {"c": 3}, []),
        (plain, (), {}, ["missing argument"]),
        (plain, (1, 2, 3), {}, ["too many arguments"]),
        (plain, (1,), {"a": 1}, ["argument given twice"]),
        (plain, (1,), {"d": 1, "e": 2}, ["unknown argument"] * 2),
        (plain, (), {"aa": 1}, ["unknown argument"]),
        (only_position, (1,), {"b": 2}, []),
        (only_position, (), {"a": 1, "b": 2}, ["unknown argument", "missing argument"]),
        (open_ended, (1, 2, 3), {"z": 1}, []),
        (open_ended, (), {"z": 1}, ["missing argument"]),
        (functools.partial(plain, 1), (2,), {}, []),
        (Overloaded, (), {"size": 1}, []),
        (Overloaded, (), {"seiz": 1}, ["unknown argument"]),
        (nn.LSTM, (), {"input_size": 1, "hiden_size": 2}, ["unknown argument"]),
        (nn.Sigmoid, (), {"dim": 1}, ["unknown argument"]),
        (nn.Sequential, (1, 2, 3), {}, []),
        (nn.Identity, (1, 2), {"a": 3}, []),
    ],
)
def test_a_call_is_judged_by_the_signature(target, args, kwargs, expected):
    assert titles(target, *args, **kwargs) == expected


def test_each_finding_has_the_place_of_its_argument():
    def paths(*args, **kwargs):
        return [finding.config_path for finding in check_call(plain, args, kwargs, "strict", ("at",))]

    assert paths(1, 2, 3) == [("at", "_args_", 2)]
    assert paths() == [("at",)]
    assert paths(1, d=2) == [("at", "d")]


@pytest.mark.parametrize(("text", "meant"), [("no", "false"), ("off", "false"), ("yes", "true"), ("On", "true")])
def test_a_text_is_no_boolean_and_the_boolean_that_was_meant_is_told(text, meant):
    (finding,) = check_call(nn.Linear, (2, 2), {"bias": text}, "strict", ("at",))
    assert (finding.title, finding.config_path, finding.hint) == (
        "wrong type",
        ("at", "bias"),
        f"Write `bias: {meant}`.",
    )


def test_texts_stay_where_a_parameter_may_take_them():
    def flags(a=True, b: bool = True, c: bool | str = True, d="no", e: bool | None = None, f=True): ...

    given = dict.fromkeys("abcde", "no") | {"f": "auto"}
    found = check_call(flags, (), given, "strict", ())
    assert [finding.config_path for finding in found] == [("a",), ("b",), ("e",)]
    assert check_call(flags, (), {"a": "${secret:FLAG}"}, "strict", ()) == []


def test_policies_differ_where_no_signature_can_be_read():
    target = next(function for function in (dict, max, getattr, type) if is_unreadable(function))
    assert titles(target, policy="strict", a=1) == ["no signature"]
    assert titles(target, policy="best_effort", a=1) == []
    assert titles(plain, policy="best_effort", z=1, a=1) == ["unknown argument"]
    assert titles(plain, policy="runtime_only", z=1) == []


def is_unreadable(target):
    try:
        inspect.signature(target)
    except ValueError:
        return True
    return False


NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
PARAMETERS = st.lists(NAMES, unique=True, max_size=4)


@given(PARAMETERS, PARAMETERS, st.integers(0, 3), st.booleans(), st.booleans(), st.data())
def test_a_call_without_findings_binds_and_one_with_findings_does_not(positional, named, given, star, stars, data):
    """The judgement agrees with Python's own."""
    named = [name for name in named if name not in positional]
    parts = [f"{name}{data.draw(st.sampled_from(['', '=0']), label=name)}" for name in positional]
    parts.sort(key=lambda part: "=" in part)
    parts += ["*rest"] if star else ["*"] if named else []
    parts += [f"{name}=0" if data.draw(st.booleans()) else name for name in named]
    parts += ["**more"] if stars else []
    scope = {}
    exec(f"def target({', '.join(parts)}): ...", scope)  # noqa: S102 - a signature made from a few letters
    args = list(range(given))
    kwargs = dict.fromkeys(data.draw(PARAMETERS), 1)
    findings = check_call(scope["target"], args, kwargs, "strict", ())
    try:
        scope["target"](*args, **kwargs)
    except TypeError:
        assert findings
    else:
        assert not findings

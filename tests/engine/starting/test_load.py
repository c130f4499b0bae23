"""A model starts from weights as plain torch would load them, and from nothing that does not fit."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from otrainer.engine.starting.files import look_into, read_weights
from otrainer.engine.starting.fitting import fit_sources
from otrainer.engine.starting.load import start_from
from otrainer.engine.starting.prefixes import rule_that_fits
from otrainer.engine.starting.section import Source, check_section, renamed, sources_in
from otrainer.errors import ConfigError
from otrainer.stages.weights_told import told

safetensors = pytest.importorskip("safetensors.torch")


class Net(nn.Module):
    """A body with statistics of batches, a head, and a decoder that shares the head's weight."""

    def __init__(self, seed: int, outputs: int = 2) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
        self.head = nn.Linear(8, outputs)
        self.decoder = nn.Linear(8, outputs, bias=False)
        self.decoder.weight = self.head.weight


def pretrained() -> Net:
    model = Net(seed=1)
    model.body(torch.randn(16, 4))  # which counts a batch
    return model


def start(model: nn.Module, weights: Any) -> nn.Module:
    assert not [*check_section(weights)]
    start_from(model, sources_in({"weights": weights}))
    return model


def mistakes(model: nn.Module, weights: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        start(model, weights)
    return [each.message for each in caught.value.findings]


def same(one: nn.Module, other: nn.Module) -> bool:
    own, others = one.state_dict(), other.state_dict()
    return list(own) == list(others) and all(torch.equal(own[name], others[name]) for name in own)


@pytest.fixture(params=["plain", "state_dict", "model", "legacy", "safetensors"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The weights of `pretrained`, in each kind of file."""
    state = pretrained().state_dict()
    path = tmp_path / ("w.safetensors" if request.param == "safetensors" else "w.pt")
    if request.param == "safetensors":
        state.pop("decoder.weight")  # as save_model leaves out what is shared
        safetensors.save_file(state, path)
    elif request.param == "legacy":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    else:
        wrapped = {"plain": state, "state_dict": {"epoch": 3, "state_dict": state}, "model": {"model": state}}
        torch.save(wrapped[request.param], path)
    return str(path)


def test_each_kind_of_file_is_loaded_as_torch_loads_it(file: str) -> None:
    """All parameters and buffers, a shared weight once, with no random number drawn, and nothing untied."""
    model = Net(seed=2)
    before = torch.get_rng_state()
    start(model, {"from": file})

    assert torch.equal(torch.get_rng_state(), before)
    assert same(model, pretrained())
    assert model.body[1].num_batches_tracked == 1
    assert model.decoder.weight is model.head.weight


def test_what_a_file_holds_is_known_without_its_numbers(file: str) -> None:
    held, read = look_into(file), read_weights(file)

    assert all(each.is_meta for each in held.values())
    assert {name: (each.shape, each.dtype) for name, each in held.items()} == {
        name: (each.shape, each.dtype) for name, each in read.items()
    }


def test_only_what_is_asked_for_is_taken(file: str) -> None:
    """Another head keeps its initial weights, though the file has one of another width."""
    model, fresh = Net(seed=2, outputs=5), Net(seed=2, outputs=5)
    start(model, {"from": file, "only": "body.*"})

    assert same(model.body, pretrained().body)
    assert same(model.head, fresh.head)


def test_of_several_sources_the_later_ones_win(tmp_path: Path) -> None:
    one, other = tmp_path / "one.pt", tmp_path / "other.pt"
    torch.save(pretrained().state_dict(), one)
    torch.save(Net(seed=5).head.state_dict(), other)
    model = start(Net(seed=2), [{"from": str(one)}, {"from": str(other), "rename": {"": "head"}}])

    assert same(model.body, pretrained().body)
    assert same(model.head, Net(seed=5).head)


def test_sources_that_have_all_of_a_model_together_are_enough(tmp_path: Path) -> None:
    for part in ("body", "head"):
        torch.save(pretrained().get_submodule(part).state_dict(), tmp_path / f"{part}.pt")
    parts = [{"from": str(tmp_path / f"{part}.pt"), "rename": {"": part}} for part in ("body", "head")]

    assert same(start(Net(seed=2), parts), pretrained())
    (lacks,) = mistakes(Net(seed=2), parts[:1])
    assert lacks.startswith(f"`{tmp_path}/body.pt` lacks `head.weight`, `head.bias`, `decoder.weight`")


@pytest.mark.parametrize(
    ("rename", "name", "becomes"),
    [
        ({"old": "new"}, "old.weight", "new.weight"),
        ({"old": "new"}, "older.weight", "older.weight"),
        ({"old": "new"}, "an.old.weight", "an.old.weight"),
        ({"old.weight": "w"}, "old.weight", "w"),
        ({"module": ""}, "module.body.0.bias", "body.0.bias"),
        ({"": "net"}, "body.bias", "net.body.bias"),
        ({r"re:^block(\d+)\.": r"layers.\1."}, "block12.bias", "layers.12.bias"),
        ({"a": "b", "b": "c"}, "a.x", "b.x"),
        ({"a.b": "x", "a": "y"}, "a.b.c", "x.c"),
    ],
)
def test_a_name_is_changed_by_the_first_rule_that_matches_it(rename: dict[str, str], name: str, becomes: str) -> None:
    (source,) = sources_in({"weights": {"from": "x", "rename": rename}})

    assert renamed(name, source) == becomes


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.sampled_from("abc"), st.sampled_from("xyz"))
def test_renaming_a_prefix_and_back_changes_nothing(parts: list[str], old: str, new: str) -> None:
    name = ".".join(parts)
    there = renamed(name, Source("f", (), ((old, new),), True, ()))

    assert (there != name) == (parts[0] == old)
    assert renamed(there, Source("f", (), ((new, old),), True, ())) == name


def test_all_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    """Shapes with both sides and dtypes that would be rounded; a bool or whole number is no float."""
    state = {**pretrained().state_dict(), "head.bias": torch.zeros(3), "body.0.bias": torch.zeros(8).double()}
    state["body.1.weight"] = torch.zeros(8, dtype=torch.int32)
    torch.save(state, tmp_path / "w.pt")

    assert [each.replace(str(tmp_path), "") for each in mistakes(Net(seed=2), {"from": str(tmp_path / "w.pt")})] == [
        "`body.0.bias` is of float64 in `/w.pt`, and float32 in the model.",
        "`body.1.weight` is of int32 in `/w.pt`, and float32 in the model.",
        "`head.bias` has shape [3] in `/w.pt`, and [2] in the model.",
    ]


def test_numbers_of_fewer_bits_are_taken_as_they_are_and_of_more_where_that_is_allowed(tmp_path: Path) -> None:
    for dtype, strict in ((torch.bfloat16, True), (torch.float64, False)):
        state = {name: each.to(dtype) for name, each in pretrained().head.state_dict().items()}
        torch.save(state, tmp_path / "w.pt")
        source = {"from": str(tmp_path / "w.pt"), "rename": {"": "head"}, "only": "head.*", "strict": strict}
        model: Any = start(Net(seed=2), source)
        assert torch.equal(model.head.weight, state["weight"].float())


def test_names_that_fit_nothing_are_told_with_those_that_were_meant(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(pretrained().state_dict() | {"hed.weight": torch.zeros(1)}, path)
    with pytest.raises(ConfigError) as caught:
        start(Net(seed=2), {"from": str(path), "only": ["bodi.*", "body.*"], "rename": {"hea": "head"}})
    only, rename = caught.value.findings

    assert only.config_path == ("weights", "only")
    assert rename.config_path == ("weights", "rename", "hea")
    assert rename.suggestions[0] == "head"
    (unknown,) = mistakes(Net(seed=2), {"from": str(path)})
    assert unknown == f"The model has no place for `hed.weight` of `{path}`."


@pytest.mark.parametrize("prefix", ["module", "_orig_mod", "model"])
@pytest.mark.parametrize("strict", [True, False])
def test_a_file_of_which_nothing_would_be_taken_is_refused_though_it_need_not_fit(
    tmp_path: Path, prefix: str, *, strict: bool
) -> None:
    """What else goes unnoticed: all names begin as a wrapper made them, and nothing is loaded."""
    path = tmp_path / "w.pt"
    torch.save({f"{prefix}.{name}": each for name, each in pretrained().state_dict().items()}, path)
    with pytest.raises(ConfigError) as caught:
        start(Net(seed=2), {"from": str(path), "strict": strict})

    assert f"`rename: {{{prefix}: ''}}`" in caught.value.findings[0].hint
    assert same(start(Net(seed=2), {"from": str(path), "rename": {prefix: ""}}), pretrained())


def test_a_name_that_begins_like_one_of_the_model_is_not_passed_over(tmp_path: Path) -> None:
    """As `load_state_dict` does with what follows the name of a parameter."""
    path = tmp_path / "w.pt"
    torch.save(pretrained().state_dict() | {"head.bias.more": torch.zeros(1)}, path)

    assert mistakes(Net(seed=2), {"from": str(path)}) == [f"The model has no place for `head.bias.more` of `{path}`."]


def test_what_need_not_fit_is_told(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    state = pretrained().state_dict() | {"other": torch.zeros(1)}
    state.pop("body.0.bias")
    torch.save(state, path)
    weights = {"from": str(path), "strict": False}
    model: Any = start(Net(seed=2), weights)
    (taken,) = fit_sources(sources_in({"weights": weights}), Net(seed=2))

    assert torch.equal(model.body[0].bias, Net(seed=2).body[0].bias)
    assert told(taken) == (
        f"weights: 9 tensors of `{path}` are taken; left are `other`; "
        "missing, so as they are initialised, are `body.0.bias`."
    )


def test_a_shared_weight_takes_no_two_values(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    state = pretrained().state_dict()
    torch.save(state | {"decoder.weight": state["decoder.weight"] + 1}, path)

    (said,) = mistakes(Net(seed=2), {"from": str(path)})
    assert "`head.weight` and `decoder.weight` are one tensor in the model, and two in the file" in said


def test_two_tensors_of_a_file_do_not_become_one(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"a.weight": torch.zeros(2, 8), "b.weight": torch.zeros(2, 8)}, path)
    weights = {"from": str(path), "only": "head.weight", "rename": {"a": "head", "b": "head"}}

    with pytest.raises(ConfigError) as caught:
        start(Net(seed=2), weights)
    (found,) = caught.value.findings
    assert found.message == f"`a.weight` and `b.weight` of `{path}` both become `head.weight`."
    assert found.config_path == ("weights", "rename", "b")


@pytest.mark.parametrize(
    ("rename", "message", "hint"),
    [
        ({r"re:lay\.(\d+)": r"\1"}, r"`re:lay\.(\d+)` matches no name in", "It has `m.layers.0.weight`"),
        ({"layers": ""}, "`layers` is the beginning of no name in", "It has `m.layers.0.weight`"),
        ({"m.layers.*": ""}, "`m.layers.*` is the beginning of no name in", "Write the beginning alone"),
        ({"m": "", "m.layers": "0"}, "`m.layers` renames nothing: `m` stands before it", "put this one first"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_rule_by_which_no_name_changes_is_told(tmp_path: Path, rename, message, hint, *, strict: bool) -> None:
    """Else a rule that stands too late, or is no pattern, passes for one that was followed."""
    path = tmp_path / "w.pt"
    torch.save({"m.layers.0.weight": torch.zeros(2, 8)}, path)
    with pytest.raises(ConfigError) as caught:
        start(nn.Linear(8, 2, bias=False), {"from": str(path), "rename": rename, "strict": strict})

    found = caught.value.findings[0]
    assert found.config_path == ("weights", "rename", list(rename)[-1])
    assert found.message.startswith(message)
    assert hint in found.hint


def test_numbers_are_shifted_by_a_list_and_parts_are_moved_by_groups(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    state = {f"m.layers.{at}.{part}": torch.full((2, 2) if part == "weight" else (2,), float(at))
             for at in (1, 2) for part in ("weight", "bias")}  # fmt: skip
    torch.save(state, path)
    for rename in ({"m.layers.1": "0", "m.layers.2": "1"}, {r"re:^m\.layers\.1": "0", r"re:^m\.layers\.2": "1"}):
        model = start(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), {"from": str(path), "rename": rename})
        assert [each.bias.tolist() for each in model] == [[1.0, 1.0], [2.0, 2.0]]
    three = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
    taken = {"from": str(path), "rename": {r"re:^m\.layers\.(\d+)\.": r"\1."}, "only": ["1.*", "2.*"]}
    assert start(three, taken)[2].bias.tolist() == [2.0, 2.0]


def test_the_advice_on_another_head_takes_all_but_it(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({name: each for name, each in pretrained().state_dict().items() if name != "decoder.weight"}, path)
    model = Net(seed=2, outputs=3)
    with pytest.raises(ConfigError) as caught:
        start(model, {"from": str(path)})
    (pattern,) = {re.search("only: '(.+)'`", each.hint)[1] for each in caught.value.findings}

    start(model, {"from": str(path), "only": pattern, "strict": False})
    assert torch.equal(model.body[0].weight, pretrained().body[0].weight)


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("run",))


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x04garbage", b"PK\x03\x04", b"\xff" * 64])
def test_what_is_no_file_of_weights_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    (said,) = mistakes(Net(seed=2), {"from": str(path)})
    assert said.startswith(f"`{path}` cannot be started from")


def test_a_pickle_that_is_more_than_data_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    torch.save(Net(seed=1), tmp_path / "module.pt")
    for name in ("evil.pt", "module.pt"):
        (said,) = mistakes(Net(seed=2), {"from": str(tmp_path / name)})
        assert "more than plain data" in said
    assert capsys.readouterr().out == ""


def test_a_file_that_was_cut_off_is_refused(file: str) -> None:
    content = Path(file).read_bytes()
    Path(file).write_bytes(content[: len(content) // 2])

    (said,) = mistakes(Net(seed=2), {"from": file})
    assert said.startswith(f"`{file}` cannot be started from")


def test_a_name_that_is_nearly_that_of_a_file_is_mended(tmp_path: Path) -> None:
    (tmp_path / "backbone.pt").touch()
    with pytest.raises(ConfigError) as caught:
        start(Net(seed=2), {"from": str(tmp_path / "bakcbone.pt")})

    assert caught.value.suggestions[0] == str(tmp_path / "backbone.pt")


@pytest.mark.parametrize("package", ["safetensors", "safetensors.torch"])
def test_a_package_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    safetensors.save_file(pretrained().body.state_dict(), tmp_path / "w.safetensors")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match="needs the package safetensors"):
        read_weights(str(tmp_path / "w.safetensors"))


def test_a_file_without_tensors_says_what_it_holds(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "weights": [1.0]}, tmp_path / "w.pt")

    (said,) = mistakes(Net(seed=2), {"from": str(tmp_path / "w.pt")})
    assert said.endswith("cannot be started from: it holds `epoch`, `weights`.")


@pytest.mark.parametrize("content", [{"net": 0, "optimizer": {}}, {"state_dict": 0, "loss": torch.ones(())}])
def test_the_state_dict_of_a_checkpoint_is_found_beside_what_else_it_has(tmp_path: Path, content) -> None:
    state = pretrained().state_dict()
    torch.save({name: state if value == 0 else value for name, value in content.items()}, tmp_path / "w.pt")

    assert same(start(Net(seed=2), {"from": str(tmp_path / "w.pt")}), pretrained())


def test_of_several_state_dicts_in_a_file_none_is_guessed(tmp_path: Path) -> None:
    state = pretrained().state_dict()
    torch.save({"teacher": state, "student": state, "epoch": 3}, tmp_path / "w.pt")

    (said,) = mistakes(Net(seed=2), {"from": str(tmp_path / "w.pt")})
    assert said.endswith("it has the state dicts `teacher`, `student`; save the one that is meant by itself.")


def test_no_rule_is_advised_that_would_take_what_is_taken(tmp_path: Path) -> None:
    state = {
        f"{who}.{name}": each for name, each in pretrained().state_dict().items() for who in ("teacher", "student")
    }
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ConfigError) as caught:
        start(Net(seed=2), {"from": str(tmp_path / "w.pt"), "rename": {"teacher": ""}})

    assert caught.value.findings[0].hint.startswith("Say by `only` what to take")


@pytest.mark.parametrize(
    ("names", "wanted", "rule"),
    [
        (["net.a.w", "net.b.w"], {"a.w", "c.w"}, ("net", "")),
        (["base_model.model.a.w"], {"a.w"}, ("base_model.model", "")),
        (["net.a.w", "b.w"], {"a.w"}, None),
        (["w", "b"], {"layers.0.w", "layers.0.b", "x.w"}, ("", "layers.0")),
        (["w", "b"], {"layers.0.w", "layers.0.b", "layers.1.w", "layers.1.b"}, None),
        ([], {"a.w"}, None),
    ],
)
def test_the_rule_by_which_names_fit_is_told(names, wanted, rule) -> None:
    assert rule_that_fits(names, wanted) == rule


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_and_a_file_that_is_not_there_are_told_apart(tmp_path: Path, *, there: bool) -> None:
    path = tmp_path / "run"
    if there:
        path.mkdir()

    (said,) = mistakes(Net(seed=2), {"from": str(path)})
    assert said == (f"`{path}` is a folder." if there else f"There is no file `{path}`.")


@pytest.mark.parametrize(
    ("weights", "place", "said"),
    [
        ("w.pt", ["weights"], "takes a mapping"),
        ({}, ["weights"], "needs `from`"),
        ({"from": 3}, ["weights", "from"], "the path of a file"),
        ({"from": "w", "onyl": "a"}, ["weights", "onyl"], "no key `onyl`"),
        ([{"from": "w", "only": ["re:("]}], ["weights", 0, "only"], "no regular expression"),
        ({"from": "w", "rename": {"a": 3}}, ["weights", "rename", "a"], "renamed to a text"),
        ({"from": "w", "rename": {"re:(a)": r"\2"}}, ["weights", "rename", "re:(a)"], "invalid group reference"),
        ({"from": "w", "rename": {"re:(a)": r"\g<n>"}}, ["weights", "rename", "re:(a)"], "unknown group name"),
        (
            {"from": "w", "rename": {"re:(a)": "b.$1"}},
            ["weights", "rename", "re:(a)"],
            "`b.$1` is no name of a parameter",
        ),
        ({"from": "w", "rename": ["a"]}, ["weights", "rename"], "is a mapping"),
        ({"from": "w", "strict": "no"}, ["weights", "strict"], "true or false"),
    ],
)
def test_a_section_that_is_wrong_is_told_at_its_place(weights: Any, place: list[Any], said: str) -> None:
    (finding,) = check_section(weights)

    assert [*finding.config_path] == place
    assert re.search(re.escape(said), finding.message)


def test_the_version_of_a_module_comes_from_the_file(tmp_path: Path) -> None:
    """So that a module that changed its layout mends what an earlier version wrote, under another name as well."""

    class Turned(nn.Linear):
        _version = 2

        def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
            if metadata.get("version") != 2:
                state[f"{prefix}weight"] = state[f"{prefix}weight"].T
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    new, path = nn.Sequential(Turned(3, 3)), tmp_path / "w.pt"
    for cls in (Turned, nn.Linear):
        old = nn.ModuleDict({"layer": cls(3, 3)})
        torch.save(old.state_dict(), path)
        start(new, {"from": str(path), "rename": {"layer": "0"}})
        weight: Any = old["layer"].weight
        assert torch.equal(new[0].weight, weight if cls is Turned else weight.T)  # type: ignore[arg-type]

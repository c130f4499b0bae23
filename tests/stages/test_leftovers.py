"""Where a spec was given another class, what stayed of the base is one finding, at the line that switched it."""

from __future__ import annotations

from pathlib import Path

import pytest

from otrainer.config import ResolvedConfig, SourceMap, resolve_config
from otrainer.errors import Finding
from otrainer.registry import build_registry
from otrainer.stages.checks import find_mistakes

BASE = """\
schema_version: 1
settings: {allow_target: true}
model: {graph: {inputs: [x], modules: {head: {_type_: nn.Linear, in_features: 2, out_features: 1}}, outputs: [x]}}
loss:
  _type_: loss.torch
  fn: {_type_: nn.CrossEntropyLoss, label_smoothing: 0.1, ignore_index: -1}
optimizer:
  _type_: optim_factory.torch
  type: optim_cls.AdamW
  kwargs:
    lr: 0.1
    betas: [0.9, 0.99]
    amsgrad: true
callbacks:
  - {_type_: cb.early_stopping, monitor: val_loss, patience: 3}
"""
SWITCH = "loss: {fn: {_type_: nn.MSELoss}}\n"
TOLD = ("arguments left from below", "unknown argument", "wrong type", "two names for one")


def found(folder: Path, text: str, **files: str) -> list[Finding]:
    """What is told of the arguments of specs: by the config as it was resolved, and as it was read back."""
    for name, content in {"exp": text, "base": BASE, **files}.items():
        (folder / f"{name}.yaml").write_text(content)
    config, registry = resolve_config(folder / "exp.yaml", root=folder), build_registry()
    kept = SourceMap.from_json(config.source_map.to_json(), config.source_map.includes)
    parts = (config.data, config.settings)
    several = []
    for places in (config.source_map, kept):
        again = ResolvedConfig(*parts, places, config.reads, config.used)
        findings = find_mistakes(again, registry)
        several.append([each.located(places) for each in findings if each.title in TOLD])
    assert several[0] == several[1]
    return several[0]


def places(finding: Finding) -> list[tuple[str, int]]:
    return [(at.file, at.line) for _, at in finding.related]


def where(finding: Finding) -> tuple[str, int, int]:
    assert finding.location is not None
    return finding.location.file, finding.location.line, finding.location.col


def test_a_component_that_takes_none_of_it_says_so_once(tmp_path: Path) -> None:
    (told,) = found(tmp_path, "defaults: [base.yaml]\nloss:\n  fn:\n    _type_: nn.MSELoss\n")

    assert where(told) == ("exp.yaml", 4, 13)
    assert told.message == "`nn.MSELoss` does not take `label_smoothing`, `ignore_index`, which stay from below."
    assert places(told) == [("base.yaml", 6), ("base.yaml", 6)]
    assert told.hint == (
        "Write `fn: {_merge_: replace, _value_: {_type_: nn.MSELoss, ...}}`, and nothing from below stays."
    )


def test_another_class_of_an_optimizer_leaves_the_kwargs_of_the_one_below(tmp_path: Path) -> None:
    (told,) = found(tmp_path, "defaults: [base.yaml]\noptimizer: {type: optim_cls.SGD, kwargs: {momentum: 0.9}}\n")

    assert where(told) == ("exp.yaml", 2, 19)
    assert "does not take `betas`, `amsgrad`, which stay" in told.message
    assert "`kwargs: {_merge_: replace, _value_: {...}}`" in told.hint


@pytest.mark.parametrize(
    ("text", "mid"),
    [
        ("defaults: [mid.yaml]\nloss: {fn: {reduction: sum}}\n", f"defaults: [base.yaml]\n{SWITCH}"),
        ("defaults: [base.yaml, mid.yaml]\n", SWITCH),
        ("defaults: [base.yaml, mid.yaml]\n", f"defaults: [base.yaml]\n{SWITCH}"),
    ],
    ids=["a file between", "a file beside", "a file beside, on the same base"],
)  # fmt: skip
def test_it_is_told_in_the_file_that_switched(tmp_path: Path, text: str, mid: str) -> None:
    (told,) = found(tmp_path, text, mid=mid)

    assert (told.title, where(told)[0]) == ("arguments left from below", "mid.yaml")


@pytest.mark.parametrize("order", [0, 1], ids=["above", "below"])
@pytest.mark.parametrize("block", [True, False], ids=["block", "braces"])
def test_a_template_lies_below_what_uses_it_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: int, block: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    template = "templates:\n  norm:\n    _type_: nn.BatchNorm2d\n    num_features: 4\n    track_running_stats: true\n"
    use = "head:\n  _template_: norm\n  _type_: nn.GroupNorm\n  num_groups: 2\n  num_channels: 4\n"
    if not block:
        use = "head: {_template_: norm, _type_: nn.GroupNorm, num_groups: 2, num_channels: 4}\n"
    loss = "loss:\n  fn:\n    " + use.replace("head:\n  ", "").replace("head: ", "").replace("\n  ", "\n    ")
    text = "".join([template, loss][:: 1 if order == 0 else -1])
    told = found(tmp_path, f"defaults: [base.yaml]\n{text}")

    left = [each for each in told if each.title == "arguments left from below"]
    assert "`track_running_stats`" in left[-1].message
    assert not any("num_groups" in each.message for each in told)


def test_an_argument_that_the_user_misspelt_stays_a_finding_of_its_own(tmp_path: Path) -> None:
    loss, callback = "{_type_: nn.MSELoss, reductoin: sum}", "{_type_: cb.early_stopping, patiense: 1}"
    told = found(tmp_path, f"defaults: [base.yaml]\nloss: {{fn: {loss}}}\ncallbacks: [{callback}]\n")

    assert [each.title for each in told] == ["unknown argument", "unknown argument", "arguments left from below"]
    (only,) = found(tmp_path, "defaults: [base.yaml]\noptimizer: {kwargs: {beta: [0.9, 0.99]}}\n")
    assert (only.title, only.suggestions) == ("unknown argument", ("betas",))


def test_a_value_that_the_new_class_takes_as_another_kind_stayed_as_well(tmp_path: Path) -> None:
    head = "{_type_: nn.Dropout, p: true, inplace: 'no'}"
    mid = f"defaults: [base.yaml]\nmodel: {{graph: {{modules: {{head: {{_merge_: replace, _value_: {head}}}}}}}}}\n"
    (told,) = found(tmp_path, "defaults: [mid.yaml]\nmodel: {graph: {modules: {head: {_type_: nn.ReLU}}}}\n", mid=mid)
    assert told.message == "`nn.ReLU` does not take `p`, `inplace`, which stay from below."


def test_a_module_of_a_graph_is_switched_as_any_spec(tmp_path: Path) -> None:
    head = "{_type_: nn.Unflatten, dim: 1, unflattened_size: [1]}"
    (told,) = found(tmp_path, f"defaults: [base.yaml]\nmodel: {{graph: {{modules: {{head: {head}}}}}}}\n")
    assert told.config_path == ("model", "graph", "modules", "head", "_type_")
    assert "`in_features`, `out_features`" in told.message


def test_a_target_over_a_key_is_told_at_the_target_and_the_other_way_round(tmp_path: Path) -> None:
    (told,) = found(tmp_path, "defaults: [base.yaml]\nloss: {fn: {_target_: extensions.mine.Loss}}\n")
    assert where(told) == ("exp.yaml", 2, 13)
    assert places(told) == [("base.yaml", 6)]
    assert "_merge_: replace" in told.hint

    mid = "defaults: [base.yaml]\nloss: {fn: {_merge_: replace, _value_: {_target_: extensions.mine.Loss}}}\n"
    (told,) = found(tmp_path, "defaults: [mid.yaml]\nloss: {fn: {_type_: nn.MSELoss}}\n", mid=mid)
    assert (where(told), places(told)) == (("exp.yaml", 2, 13), [("mid.yaml", 2)])

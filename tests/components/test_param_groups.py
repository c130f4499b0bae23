"""Groups of parameters are those that their patterns say, and train as torch trains them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.optim import TorchOptimizerFactory
from otrainer.errors import ConfigError
from otrainer.registry import build_registry


class Net(nn.Module):
    """Parts as real models have them: a body with norms, a tied embedding, a frozen layer, a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.LayerNorm(8))
        self.head = nn.Linear(8, 1)
        self.tied = nn.Linear(8, 8, bias=False)
        self.tied.weight = self.body[3].weight  # type: ignore[assignment]  # as embeddings are tied
        self.frozen = nn.Linear(2, 2).requires_grad_(requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.tied(self.body(x)))
        return y


def optimizer_of(groups: Any = None, no_decay: Any = None, key: str = "AdamW", **kwargs: Any) -> Any:
    factory = TorchOptimizerFactory(f"optim_cls.{key}", kwargs={"lr": 0.1, **kwargs}, groups=groups, no_decay=no_decay)
    model = Net()
    optimizer = factory.build(model, registry=build_registry())
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        (group.get("name"), [names[id(each)] for each in group["params"]], group) for group in optimizer.param_groups
    ]


ALL = [
    "body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias", "body.3.weight", "body.3.bias", "body.4.weight",
    "body.4.bias", "head.weight", "head.bias",
]  # fmt: skip


def test_without_groups_there_is_one() -> None:
    assert [(name, names) for name, names, _ in optimizer_of()] == [(None, ALL)]


@pytest.mark.parametrize(
    ("module", "biases"),
    [
        (nn.MultiheadAttention(4, 2, add_bias_kv=True), ["in_proj_bias", "bias_k", "bias_v", "out_proj.bias"]),
        (nn.GRU(4, 4), ["bias_ih_l0", "bias_hh_l0"]),
        (nn.RNN(4, 4, bidirectional=True), ["bias_ih_l0", "bias_hh_l0", "bias_ih_l0_reverse", "bias_hh_l0_reverse"]),
        (nn.ModuleDict({"unbiased": nn.Linear(4, 4)}), ["unbiased.bias"]),
    ],
)  # fmt: skip
def test_a_bias_is_one_whatever_else_its_name_says(module: nn.Module, biases: list[str]) -> None:
    """Attention and recurrent layers of torch have biases that are not called so alone."""
    factory = TorchOptimizerFactory("optim_cls.AdamW", kwargs={"lr": 0.1}, no_decay=["bias"])
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    _, undecayed = factory.build(module, registry=build_registry()).param_groups

    assert [names[id(each)] for each in undecayed["params"]] == biases
    assert undecayed["weight_decay"] == 0


def test_biases_and_norms_may_be_left_without_decay() -> None:
    (_, decayed, first), (name, undecayed, second) = optimizer_of(no_decay=["bias", "norm"], weight_decay=0.5)
    assert decayed == ["body.0.weight", "body.3.weight", "head.weight"]
    assert sorted(decayed + undecayed) == sorted(ALL)
    assert (name, first["weight_decay"], second["weight_decay"]) == ("no_decay", 0.5, 0.0)


def test_a_parameter_goes_to_the_first_group_that_matches_it() -> None:
    groups = [{"match": "head.*", "lr": 0.5, "name": "head"}, {"match": "re:weight$", "lr_scale": 0.1}]
    (_, rest, base), (head, names, one), (second, others, two) = optimizer_of(groups)
    assert (head, names, one["lr"]) == ("head", ["head.weight", "head.bias"], 0.5)
    assert (second, two["lr"]) == ("2", pytest.approx(0.01))
    assert others == ["body.0.weight", "body.1.weight", "body.3.weight", "body.4.weight"]
    assert rest == ["body.0.bias", "body.1.bias", "body.3.bias", "body.4.bias"]
    assert base["lr"] == 0.1


def test_groups_by_the_class_of_modules_and_by_both() -> None:
    groups = [
        {"modules": "nn.LayerNorm", "lr": 0.0, "name": "layer"},
        {"modules": ["norm"], "match": "body.*", "lr": 0.2, "name": "norm"},
    ]
    _, (_, layer, _), (_, norm, _) = optimizer_of(groups)
    assert layer == ["body.4.weight", "body.4.bias"]
    assert norm == ["body.1.weight", "body.1.bias"]


def test_groups_have_their_own_part_without_decay() -> None:
    made = optimizer_of([{"match": "head.*", "lr": 0.5, "name": "head"}], ["bias"], weight_decay=0.3)
    assert [(name, group["lr"], group["weight_decay"]) for name, _, group in made] == [
        (None, 0.1, 0.3), ("no_decay", 0.1, 0.0), ("head", 0.5, 0.3), ("head_no_decay", 0.5, 0.0)
    ]  # fmt: skip


def test_all_in_groups_leaves_no_empty_rest() -> None:
    assert [name for name, _, _ in optimizer_of([{"match": "*", "lr": 0.5}])] == ["1"]


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        ({"groups": [{"match": "hed.*"}]}, ("groups", 0, "match"), "`hed.*` matches no parameter that trains."),
        ({"groups": [{"match": ["head.*", "frozen.*"]}]}, ("groups", 0, "match"), "`frozen.*` matches no parameter"),
        ({"groups": [{"modules": "Embeding"}]}, ("groups", 0, "modules"), "No module of a class `Embeding`"),
        ({"no_decay": ["bias", "pos_embed"]}, ("no_decay", 1), "`pos_embed` matches no parameter"),
        ({"groups": [{"match": "*"}, {"match": "head.*"}]}, ("groups", 1), "The groups before this one take all"),
        ({"groups": [{"match": "head.*", "modules": "norm"}]}, ("groups", 0), "goes by both `match` and `modules`"),
        ({"groups": [{"lr": 0.1}]}, ("groups", 0), "A group is a mapping that says by `match` or `modules`"),
        ({"groups": ["head.*"]}, ("groups", 0), "A group is a mapping"),
        ({"groups": "head.*"}, ("groups",), "`groups` lists mappings."),
        ({"groups": [{"match": "re:("}]}, ("groups", 0, "match"), "`re:(` is no regular expression"),
        ({"groups": [{"match": 3}]}, ("groups", 0, "match"), "A pattern is a text, not 3."),
        ({"groups": [{"match": "head.*", "lr": 1.0, "lr_scale": 2}]}, ("groups", 0, "lr_scale"), "not both"),
        ({"groups": [{"match": "head.*", "lr_scale": "x"}]}, ("groups", 0, "lr_scale"), "a number from 0 on"),
        (
            {"groups": [{"match": "head.*", "wieght_decay": 0}]},
            ("groups", 0, "wieght_decay"),
            "no option `wieght_decay`",
        ),
        ({"no_decay": ["bias"], "key": "Rprop"}, ("no_decay",), "`Rprop` has no option `weight_decay`."),
    ],
)
def test_what_would_train_otherwise_than_meant_is_refused_at_its_place(given: Any, place: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        optimizer_of(**given)
    (finding,) = caught.value.findings
    assert words in finding.message
    assert finding.config_path == ("optimizer", *place)


def by_hand(batches: Any, epochs: int) -> torch.Tensor:
    """Plain torch, with the groups written out."""
    model = Net()
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]

    def taken(head: bool, decays: bool) -> list[nn.Parameter]:
        return [
            parameter
            for name, parameter in named
            if name.startswith("head") == head
            and (name.endswith("weight") and name[:6] not in ("body.1", "body.4")) == decays
        ]

    optimizer = torch.optim.AdamW(
        [
            {"params": taken(head=False, decays=True)},
            {"params": taken(head=False, decays=False), "weight_decay": 0.0},
            {"params": taken(head=True, decays=True), "lr": 0.05},
            {"params": taken(head=True, decays=False), "lr": 0.05, "weight_decay": 0.0},
        ],
        lr=0.01,
        weight_decay=0.1,
        fused=True,
    )
    model.train()
    for _ in range(epochs):
        for batch in batches:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
            optimizer.step()
    return parameters_of(model)


GIVEN = {
    "groups": [{"match": "head.*", "lr_scale": 5, "name": "head"}],
    "no_decay": ["bias", "norm"],
}


def test_they_train_as_plain_torch_trains_them_and_each_rate_is_logged(tmp_path: Path) -> None:
    batches, notes = random_batches(6), Notes()
    factory = TorchOptimizerFactory("optim_cls.AdamW", kwargs={"lr": 0.01, "weight_decay": 0.1}, **GIVEN)  # type: ignore[arg-type]
    trainer = {"max_epochs": 3, "log_every_n_steps": 1}
    model = fit(Net(), Batches(batches), trainer=trainer, optimizer=factory, loggers=[notes])
    assert torch.equal(parameters_of(model), by_hand(batches, 3))
    assert notes.values("train", "lr_head")[0] == 0.05
    assert notes.values("train", "lr_no_decay")[0] == 0.01


def test_a_resume_knows_parameters_by_name_also_in_other_groups(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A group more on a resume: hyperparameters come from the config, state from the checkpoint."""

    def train(epochs: int, given: Any, **run: Any) -> None:
        factory = TorchOptimizerFactory("optim_cls.AdamW", kwargs={"lr": 0.01}, **given)
        checkpoint = ModelCheckpoint(str(tmp_path))
        trainer = {"max_epochs": epochs}
        fit(Net(), Batches(random_batches(3)), trainer=trainer, optimizer=factory, callbacks=[checkpoint], run=run)

    train(1, {})
    with caplog.at_level(logging.WARNING):
        train(2, GIVEN, resume_from=str(tmp_path / "last.pt"))
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert {float(each["step"]) for each in saved["optimizer"]["state"].values()} == {6.0}


def test_groups_can_be_tried_before_widths_are_known() -> None:
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 1))
    factory = TorchOptimizerFactory("optim_cls.AdamW", groups=[{"match": "0.*", "lr": 0.5}], no_decay=["bias"])
    optimizer = factory.build(model, registry=build_registry())
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1, 1, 1]


class Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embed = nn.Linear(4, 4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(11))
        self.head = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = x + block(x).tanh()
        y: torch.Tensor = self.head(x)
        return y


def test_layers_near_the_input_learn_slower_by_their_number() -> None:
    """Block 10 comes after block 9, though its name does not; the head has the whole rate."""
    decay = {"rate": 0.5, "layers": ["embed.*", r"re:^blocks\.(\d+)\."]}
    factory = TorchOptimizerFactory(
        "optim_cls.SGD", kwargs={"lr": 1.0, "weight_decay": 0.1}, no_decay=["bias"], layer_decay=decay
    )
    model = Deep()
    optimizer = factory.build(model, registry=build_registry())
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    found = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}

    order = ["embed", *(f"blocks.{n}" for n in range(11)), "head"]
    assert found == {
        f"{name}.{kind}": (0.5 ** (12 - at), 0.1 if kind == "weight" else 0.0)
        for at, name in enumerate(order)
        for kind in ("weight", "bias")
    }
    assert len({group["name"] for group in optimizer.param_groups}) == 26


def test_layers_with_rates_of_their_own_train_as_plain_torch_does() -> None:
    decay = {"rate": 0.7, "layers": ["embed.*", r"re:^blocks\.(\d+)\."]}
    own = fit(
        Deep(),
        Batches(random_batches(4)),
        optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": 0.1}, "layer_decay": decay},
    )

    model = Deep()
    parts = [model.embed, *model.blocks, model.head]
    groups = [{"params": list(each.parameters()), "lr": 0.1 * 0.7 ** (12 - at)} for at, each in enumerate(parts)]
    optimizer = torch.optim.SGD(groups, lr=0.1, fused=True)
    for batch in random_batches(4):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
        optimizer.step()
    assert torch.equal(parameters_of(own), parameters_of(model))

"""Small models of the kinds that people train, each with the inputs that it takes; all give `[batch, 3]`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

OUT = 3


class MaskedAttention(nn.Module):
    """Attention over five places under a causal mask, a buffer that holds -inf."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.head = nn.Linear(2, 12), nn.Linear(4, OUT)
        self.register_buffer("mask", torch.full((5, 5), float("-inf")).triu(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.inside(x).chunk(3, dim=-1)
        scores = q @ k.transpose(1, 2) / 2 + self.mask
        return self.head((scores.softmax(-1) @ v).mean(1))


class Bag(nn.Module):
    """Ids, embedded and averaged."""

    def __init__(self, *, sparse: bool, head: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4 if head else OUT, sparse=sparse)
        self.head = nn.Linear(4, OUT) if head else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(x).mean(1))


class Recurrent(nn.Module):
    """An LSTM, read at its last place."""

    def __init__(self, *, time_major: bool) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 5, batch_first=not time_major), nn.Linear(5, OUT)
        self.time_major = time_major

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(x)
        return self.head(states[-1] if self.time_major else states[:, -1])


class Tied(nn.Module):
    """One weight in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, OUT)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Complex(nn.Module):
    """Complex weights, of whose products the size is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, OUT, dtype=torch.complex64) / 3)
        self.bias = nn.Parameter(torch.zeros(OUT))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.to(torch.complex64) @ self.weight).abs() + self.bias


class Spare(nn.Module):
    """A layer that no output depends on, and a scale of no dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.unused, self.scale = mlp(), nn.Linear(2, 2), nn.Parameter(torch.tensor(1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) * self.scale


class Counting(nn.Module):
    """A model that counts its training steps outside of any tensor, and scales by how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.calls = mlp(), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return self.body(x) * (1 + 0.01 * self.calls)

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": self.calls}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.calls = state["calls"]


class Deep(nn.Module):
    """A GRU of two layers with dropout between them."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(2, 4, num_layers=2, dropout=0.2, batch_first=True), nn.Linear(4, OUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.gru(x)[0].mean(1))


def normed() -> nn.Sequential:
    """Weights by length and direction, and one by its greatest singular value, found step by step in training."""
    first = nn.utils.parametrizations.weight_norm(nn.Linear(6, 8))
    return nn.Sequential(first, nn.Tanh(), nn.utils.parametrizations.spectral_norm(nn.Linear(8, OUT)))


def cumulative() -> nn.Sequential:
    """BatchNorm whose running values are means of all batches."""
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, momentum=None), nn.ELU(), nn.Linear(8, OUT))


class Forces(nn.Module):
    """Predicts by the gradient of an energy in its inputs, in validation too."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            at = x.detach().requires_grad_()
            (force,) = torch.autograd.grad(self.energy(at).sum(), at, create_graph=self.training)
        return force[:, :OUT].contiguous()


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, OUT))


def matrices() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8, bias=False), nn.Tanh(), nn.Linear(8, OUT, bias=False))


def convolution() -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(24, OUT),
    )  # fmt: skip


def dropped() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, OUT))


def frozen() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, OUT))
    model[0].requires_grad_(requires_grad=False)
    return model


def partly_eval() -> nn.Sequential:
    """A pretrained part, frozen and in eval mode by construction."""
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Tanh(), nn.Linear(6, OUT))
    model[:3].requires_grad_(requires_grad=False)
    model[:3].eval()
    return model


def train_in_eval() -> nn.Sequential:
    """Dropout that its owner keeps in eval mode, and that all the same sees `train()` of nobody."""
    model = dropped()
    model[2].eval()
    return model


def channels_last() -> nn.Sequential:
    model = nn.Sequential(
        nn.Unflatten(1, (3, 2, 1)), nn.Conv2d(3, 5, (2, 3), padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(15, OUT)
    )
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def laid_out() -> nn.Sequential:
    """Weights that lie in memory as those of another shape did, or between what is left of them."""
    model = mlp()
    model[0].weight = nn.Parameter(torch.randn(6, 8).mul(0.4).t())
    model[2].weight = nn.Parameter(torch.randn(OUT, 16).mul(0.3)[:, ::2])
    return model


@dataclass(frozen=True)
class Kind:
    """How a model is made, and what it takes: `floats` [6], `ids` [4], `series` [5, 2] or `time` [5, batch, 2]."""

    make: Callable[[], nn.Module]
    takes: str = "floats"
    dtype: torch.dtype = torch.float32


MODELS = {
    "mlp": Kind(mlp),
    "convolution and BatchNorm": Kind(convolution),
    "dropout": Kind(dropped),
    "embedding": Kind(lambda: Bag(sparse=False), "ids"),
    "sparse embedding": Kind(lambda: Bag(sparse=True), "ids"),
    "sparse embedding alone": Kind(lambda: Bag(sparse=True, head=False), "ids"),
    "LSTM": Kind(lambda: Recurrent(time_major=False), "series"),
    "LSTM, time first": Kind(lambda: Recurrent(time_major=True), "time"),
    "matrices": Kind(matrices),
    "tied weights": Kind(Tied),
    "extra state": Kind(Counting),
    "GRU with dropout": Kind(Deep, "series"),
    "normed weights": Kind(normed),
    "BatchNorm by counts": Kind(cumulative),
    "gradients inside": Kind(Forces),
    "frozen part": Kind(frozen),
    "part in eval mode": Kind(partly_eval),
    "dropout in eval mode": Kind(train_in_eval),
    "buffer of -inf": Kind(MaskedAttention, "series"),
    "float64": Kind(mlp, dtype=torch.float64),
    "bfloat16 parameters": Kind(mlp, dtype=torch.bfloat16),
    "complex": Kind(Complex),
    "channels last": Kind(channels_last),
    "slices and transposed weights": Kind(laid_out),
    "unused and 0-dim parameters": Kind(Spare),
}


class Pair(NamedTuple):
    pred: torch.Tensor
    aux: torch.Tensor


@dataclass
class Output:
    pred: torch.Tensor
    hidden: list[torch.Tensor] = field(default_factory=list)


# What a model returns around its prediction, and the path that leads to the prediction.
FORMS: dict[str, tuple[Callable[[torch.Tensor], Any], tuple[str | int, ...] | None]] = {
    "tensor": (lambda pred: pred, None),
    "dict of one": (lambda pred: {"pred": pred}, None),
    "dict": (lambda pred: {"pred": pred, "aux": pred.detach() * 2}, ("pred",)),
    "tuple": (lambda pred: (pred.detach(), pred), (1,)),
    "list": (lambda pred: [pred], (0,)),
    "named tuple": (lambda pred: Pair(pred, pred.detach()), ("pred",)),
    "dataclass": (lambda pred: Output(pred, [pred]), ("pred",)),
    "dict of None": (lambda pred: {"pred": pred, "loss": None, "caches": ()}, ("pred",)),
}


class Shaped(nn.Module):
    """A model whose prediction comes in one of the `FORMS`."""

    def __init__(self, inner: nn.Module, form: str) -> None:
        super().__init__()
        self.inner, self.form = inner, form

    def forward(self, x: torch.Tensor) -> Any:
        return FORMS[self.form][0](self.inner(x))


def build_model(kind: str, form: str, seed: int) -> nn.Module:
    """The same model of the same numbers for the same arguments; a seed draws the numbers."""
    torch.manual_seed(seed)
    chosen = MODELS[kind]
    return Shaped(chosen.make().to(chosen.dtype) if chosen.dtype != torch.float32 else chosen.make(), form)


def prediction(outputs: Any, form: str) -> torch.Tensor:
    """What a model that was `Shaped` predicts."""
    path = {"tensor": (), "dict of one": ("pred",)}.get(form, FORMS[form][1])
    for part in path or ():
        outputs = getattr(outputs, part) if isinstance(part, str) and not isinstance(outputs, dict) else outputs[part]
    return outputs

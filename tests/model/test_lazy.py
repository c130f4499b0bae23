"""Lazy widths are filled in by the first batch, which leaves nothing else behind."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from otrainer.errors import ConfigError
from otrainer.model import has_lazy, materialize
from otrainer.model.lazy import finish

LAYERS = [
    {"_type_": "nn.BatchNorm1d", "num_features": 3},
    {"_type_": "nn.Dropout"},
    {"_type_": "mlp", "dims": [None, 4, 2]},
]


def states():
    return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]


def test_materialising_leaves_random_states_buffers_and_training_flags_alone(make):
    model = make({"sequential": {"layers": LAYERS}})
    model.layers[0].eval()
    flags = [module.training for module in model.modules()]
    buffers = {name: (buffer, buffer.clone()) for name, buffer in model.named_buffers()}
    batch, before = torch.randn(8, 3), states()
    assert has_lazy(model)
    materialize(model, (batch,))
    assert not has_lazy(model)
    assert states() == before
    assert [module.training for module in model.modules()] == flags
    for name, buffer in model.named_buffers():
        assert buffer is buffers[name][0]
        assert torch.equal(buffer, buffers[name][1])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_initial_weights_depend_on_the_seed_and_not_on_the_batch(make):
    def weights(batch):
        torch.manual_seed(5)
        model = make({"sequential": {"layers": LAYERS}})
        materialize(model, (batch,))
        return model.state_dict()

    one, two = weights(torch.zeros(2, 3)), weights(torch.randn(9, 3))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_everything_is_restored_when_the_forward_fails(make):
    model = make({"sequential": {"layers": LAYERS}})
    batch, before = torch.randn(8, 5), states()
    with pytest.raises(RuntimeError):
        materialize(model, (), {"x": batch})
    assert all(module.training for module in model.modules())
    assert states() == before


def test_a_module_that_forward_does_not_reach_is_named():
    class Partial(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.branch = nn.LazyLinear(2), nn.Sequential(nn.ReLU(), nn.LazyLinear(3))

        def forward(self, x):
            return self.used(x)

    with pytest.raises(ConfigError, match=r"`branch\.1` has no shape yet"):
        materialize(nn.Sequential(Partial())[0], (torch.ones(1, 2),))


def test_lazy_batch_norms_and_nested_modules_are_filled_in_too():
    model = nn.Sequential(nn.Sequential(nn.LazyConv2d(3, 1), nn.LazyBatchNorm2d()), nn.Flatten(), nn.LazyLinear(2))
    materialize(model, (torch.ones(2, 5, 4, 4),))
    assert not has_lazy(model)
    assert model[0][1].num_batches_tracked == 0
    assert torch.equal(model[0][1].running_mean, torch.zeros(3))


def test_a_model_without_lazy_parameters_is_not_run():
    class Never(nn.Module):
        def forward(self):
            raise AssertionError

    materialize(Never())


@pytest.mark.parametrize(
    ("lazy", "x"),
    [
        (lambda: nn.LazyLinear(3), torch.randn(2, 5)),
        (lambda: nn.LazyConv2d(4, 3, groups=2), torch.randn(2, 6, 5, 5)),
        (lambda: nn.LazyConvTranspose1d(4, 3, groups=2), torch.randn(2, 6, 5)),
        (lambda: nn.LazyBatchNorm1d(), torch.randn(2, 5)),
        (lambda: nn.LazyBatchNorm2d(affine=False), torch.randn(2, 5, 3, 3)),
        (lambda: nn.LazyInstanceNorm2d(affine=True), torch.randn(2, 5, 3, 3)),
    ],
)
def test_one_whose_tensors_were_loaded_is_what_a_forward_pass_makes_of_it(
    lazy: Callable[[], nn.Module], x: torch.Tensor
) -> None:
    by_forward, loaded = nn.Sequential(lazy()), nn.Sequential(lazy())
    by_forward(x)
    loaded.load_state_dict(by_forward.state_dict())
    finish(loaded)

    one, other = by_forward[0], loaded[0]
    assert type(other) is type(one)
    apart = {"_parameters", "_buffers", "_modules"}
    assert {k: v for k, v in vars(other).items() if k not in apart} == {
        k: v for k, v in vars(one).items() if k not in apart
    }
    assert repr(other) == repr(one)


def test_one_without_tensors_stays_lazy_when_others_are_finished() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    finish(model)

    assert isinstance(model[0], nn.LazyLinear)

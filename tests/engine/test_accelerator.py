"""How torch computes is what the run asks for, and what it was before once the run is over."""

from __future__ import annotations

import os

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches, small_model

from otrainer.engine.accelerator import Accelerator
from otrainer.engine.numerics import numerics
from otrainer.engine.state import RunSettings
from otrainer.errors import ConfigError


def switches() -> tuple[object, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.get_float32_matmul_precision(),
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


def test_deterministic_sets_every_switch_and_puts_each_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
    before = switches()
    with numerics(RunSettings(deterministic=True, matmul_precision="medium")):
        assert switches() == (True, False, False, True, True, "medium", ":4096:8")
    assert switches() == before
    with numerics(RunSettings()):
        assert switches() == before


def test_a_workspace_that_is_deterministic_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with numerics(RunSettings(deterministic=True)):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_the_operation_that_stands_in_the_way_is_named() -> None:
    before = switches()
    with pytest.raises(ConfigError, match="put_") as error, numerics(RunSettings(deterministic=True)):
        torch.zeros(3).put_(torch.tensor([1]), torch.ones(1))

    assert error.value.config_path == ("run", "deterministic")
    assert switches() == before


def test_other_errors_are_left_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shape"), numerics(RunSettings(deterministic=True)):
        torch.ones(2) @ torch.ones(3, 3)


@pytest.mark.parametrize("how", [{"backend": "aot_eager"}, {"backend": "eager", "dynamic": False}])
def test_a_compiled_model_trains_the_same_model_and_its_checkpoint_is_plain(how: object) -> None:
    plain, compiled, notes = small_model(), small_model(), Notes()
    for model, options in ((plain, {}), (compiled, {"compile": how})):
        fit(
            model,
            Batches(random_batches(3), random_batches(2)),
            trainer={"max_epochs": 2},
            loggers=[notes],
            run=options,
        )

    assert torch.allclose(parameters_of(plain), parameters_of(compiled), atol=1e-6)
    assert compiled.state_dict().keys() == plain.state_dict().keys()


def test_true_means_what_torch_does_without_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler itself is at work in `tests/bench/compiled.py`: it takes a while."""
    given: list[dict[str, object]] = []
    monkeypatch.setattr(torch, "compile", lambda model, **options: given.append(options) or model)
    fit(small_model(), Batches(random_batches(1)), run={"compile": True})

    assert given == [{}]


def test_validation_is_compiled_once_and_not_each_epoch() -> None:
    """Counted by a backend of our own, which is called for each graph that torch compiles."""
    graphs = []

    def backend(graph: torch.fx.GraphModule, _example: object) -> object:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    fit(
        small_model(),
        Batches(random_batches(3), random_batches(2)),
        trainer={"max_epochs": 4},
        run={"compile": {"backend": backend}},
    )

    assert len(graphs) == 2  # one with gradients, one without


@pytest.mark.parametrize(("tells", "stepped"), [(True, False), (False, True)])
def test_a_step_that_overflows_is_left_out_and_told_only_where_somebody_goes_by_it(tells: bool, stepped: bool) -> None:
    """With the scaler of fp16, which torch has for the CPU as well."""
    accelerator, weight = Accelerator(), torch.nn.Parameter(torch.ones(1))
    accelerator.scaler = torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD([weight], lr=1.0)
    accelerator.backward((weight * float("inf")).sum())

    accelerator.unscale(optimizer)
    assert accelerator.step(optimizer, tells=tells) is stepped
    assert float(weight) == 1.0
    optimizer.zero_grad()
    accelerator.backward(weight.sum())
    assert accelerator.step(optimizer, tells=tells)
    assert float(weight) == 0.0

"""Memory that runs out is told with the step and the batch, and what takes less."""

from __future__ import annotations

import pytest
import torch

from otrainer.diagnostics.drawing import draw_error
from otrainer.stages.failures.memory_report import in_words, ran_out

HUNGRY = """
    import torch


    class Hungry(torch.nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += self.training
            return x if self.calls < 2 else torch.empty(10**15)


    def register(registry):
        registry.register_module("hungry", Hungry)
    """


def test_a_layer_that_takes_too_much_is_told_at_the_batch_size(failing):
    text = "model: {sequential: {layers: {_merge_: append, _value_: [{_type_: hungry}]}}}\ndata: {batch_size: 16}"
    assert draw_error(failing(text, HUNGRY)) == (
        "out of memory ── configs/experiments/a.yaml:5:20\n"
        "  4 | model: {sequential: {layers: {_merge_: append, _value_: [{_type_: hungry}]}}}\n"
        "  5 | data: {batch_size: 16}\n"
        "    |                    ^^\n"
        "  Memory ran out in step 2, with a batch of 16 samples: DefaultCPUAllocator: can't allocate memory: you tried "
        "to allocate 3.6 PiB.\n"
        "  called in `forward`: extensions/odd.py:9:41\n"
        "  in the node `layer_1`: configs/experiments/a.yaml:4:58\n"
        "  A smaller batch takes less; with `trainer.grad_accum_steps` as many samples make a step, and "
        "`run.precision: bf16-mixed` needs about half for what layers keep for backward."
    )


CUDA = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 3.10 GiB is "
    "free. Including non-PyTorch memory, this process has 75.00 GiB memory in use."
)


def test_where_a_component_takes_it_that_one_is_named(failing):
    plugin = f"""
        class Odd:
            def on_train_step_end(self, ctx):
                import torch

                raise torch.OutOfMemoryError({CUDA!r})


        def register(registry):
            registry.register_module("cb.odd", Odd)
        """
    drawn = draw_error(failing("callbacks: {_merge_: replace, _value_: [{_type_: cb.odd}]}", plugin)).splitlines()
    assert drawn[0] == "out of memory ── configs/base/small.yaml:3:20"
    assert drawn[5] == "  Memory ran out in step 2: CUDA out of memory. Tried to allocate 20.00 GiB."
    assert "  in `cb.odd`: configs/experiments/a.yaml:4:41" in drawn


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (ValueError("out of memory"), False),
        (RuntimeError("shapes cannot be multiplied"), False),
    ],
)
def test_what_says_that_memory_ran_out(error: Exception, told: bool) -> None:
    assert ran_out(error) is told


def test_numbers_of_bytes_are_told_as_people_read_them() -> None:
    words = (
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4096 bytes. Error code 12 (Cannot allocate memory)"
    )
    assert in_words(words) == "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4.0 KiB."

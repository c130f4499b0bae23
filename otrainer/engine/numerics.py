"""How torch computes while a run trains: deterministically, and matrix products with which precision."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch

from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from otrainer.engine.state import RunSettings

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def numerics(run: RunSettings) -> Iterator[None]:
    """Let torch compute in the block as the run asks.

    All switches are put back after it. Raises ConfigError where an operation has no deterministic form.
    """
    before = torch.get_float32_matmul_precision()
    if run.matmul_precision is not None:
        torch.set_float32_matmul_precision(run.matmul_precision)
    try:
        with deterministic() if run.deterministic else nullcontext():
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def not_deterministic(cause: RuntimeError) -> ConfigError:
    return ConfigError(
        str(cause).split(". ")[0].removesuffix(".") + ".",
        title="not deterministic",
        config_path=("run", "deterministic"),
        hint="Use another operation there, or set `run.deterministic: false`.",
    )


@contextmanager
def deterministic() -> Iterator[None]:
    """Set every switch that torch has for the same bits from the same input, in the block."""
    cudnn, memory = torch.backends.cudnn, cast("Any", torch.utils.deterministic)
    before = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    flags, filled = (cudnn.benchmark, cudnn.deterministic), memory.fill_uninitialized_memory
    workspace = os.environ.get(WORKSPACE)
    if workspace not in (":4096:8", ":16:8"):
        os.environ[WORKSPACE] = ":4096:8"  # read by cuBLAS when it is first used
    torch.use_deterministic_algorithms(True)
    cudnn.benchmark, cudnn.deterministic = False, True
    memory.fill_uninitialized_memory = True
    try:
        yield
    except RuntimeError as cause:
        if "deterministic" not in str(cause):
            raise
        raise not_deterministic(cause) from cause
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.benchmark, cudnn.deterministic = flags
        memory.fill_uninitialized_memory = filled
        if workspace is None:
            os.environ.pop(WORKSPACE, None)
        else:
            os.environ[WORKSPACE] = workspace

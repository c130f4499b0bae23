"""Numbers and arrays of numpy, where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from otrainer.engine.checkpoint.kinds.kind import Kind, LostError, is_exactly

try:
    import numpy as np
except ImportError:  # torch and otrainer work without it
    np = None  # type: ignore[assignment]

NUMBERS = "biufcSUmM"
# Those that torch has too stand in the file as tensors that can be read; the others as their bytes.
INTEGERS = ("bool", "uint8", "int8", "int16", "int32", "int64")
SHARED = (*INTEGERS, "float16", "float32", "float64", "complex64", "complex128")


def array(value: Any) -> dict[str, Any]:
    dtype = value.dtype
    if dtype.kind not in NUMBERS:
        raise LostError(f"is an array of `{dtype}`, and not of numbers or texts")
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    flat = value.reshape(-1, order=order)
    flat = flat if flat.flags.writeable and flat.flags.c_contiguous else flat.copy()
    if not (dtype.isnative and dtype.name in SHARED):
        flat = np.frombuffer(bytearray(flat.tobytes()), np.uint8) if flat.nbytes else np.empty(0, np.uint8)
    return {"dtype": dtype.str, "shape": list(value.shape), "order": order, "data": torch.from_numpy(flat)}


def made_array(parts: Mapping[str, Any]) -> Any:
    dtype, data = np.dtype(parts["dtype"]), parts["data"].cpu().numpy()
    if data.dtype != dtype:
        data = np.frombuffer(bytearray(data.tobytes()), dtype) if data.nbytes else np.empty(0, dtype)
    return data.reshape(parts["shape"], order=parts["order"]).copy(order="K")


def scalar(value: Any) -> dict[str, Any]:
    """Return a number in full, and as Python has it for whoever looks into the file."""
    text = value.item() if isinstance(value.item(), bool | int | float | str) else None
    return {"text": text, **array(np.asarray(value).reshape(1))}


def array_kinds() -> tuple[Kind, ...]:
    """Return the kinds of numpy's values, none without it."""
    if np is None:
        return ()
    return (
        Kind("numpy.ndarray", is_exactly(np.ndarray), array, made_array),
        Kind("numpy.number", lambda value: isinstance(value, np.generic), scalar, lambda parts: made_array(parts)[0]),
        Kind(
            "numpy.dtype",
            lambda value: isinstance(value, np.dtype) and value.kind in NUMBERS,
            lambda value: {"text": value.str},
            lambda parts: np.dtype(parts["text"]),
        ),
    )

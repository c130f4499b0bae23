"""Files of weights: what tensors they hold, without reading these, and the tensors themselves."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import torch

from otrainer.engine.checkpoint.file_format import DamagedError, check_container
from otrainer.errors import ConfigError, nearest

SUFFIX = ".safetensors"
WRAPPED = ("model", "state_dict", "model_state_dict")  # the first is a checkpoint's of ours, too
OURS = ("model", "train_state", "meta")
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "C64": "complex64", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
FAILURES = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError)
KINDS = "It is a checkpoint, a `.safetensors` file, or a state dict that `torch.save` wrote."


def look_into(file: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a file by their names, on the meta device: shapes and dtypes, without the numbers.

    Raises ConfigError where the file is missing, damaged, or holds no weights that are plain data.
    """
    if file.endswith(SUFFIX):
        return safetensors_header(refuse_missing(file))
    held = state_dict(file)
    return {name: torch.empty_like(tensor, device="meta") for name, tensor in held.items()}


def read_weights(file: str) -> Mapping[str, torch.Tensor]:
    """Return the tensors of a file by their names, on the CPU, mapped into memory where its format allows that.

    A state dict of torch has the versions of its modules in `_metadata`. Raises ConfigError as `look_into` does.
    """
    return safetensors_numbers(refuse_missing(file)) if file.endswith(SUFFIX) else state_dict(file)


def safetensors_numbers(file: str) -> Mapping[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise without_package(file) from error
    try:
        found: dict[str, torch.Tensor] = load_file(file)
    except (SafetensorError, OSError) as error:
        raise no_weights(file, why=str(error)) from error
    return found


def safetensors_header(file: str) -> dict[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise without_package(file) from error
    try:
        with safe_open(file, framework="pt") as content:
            slices = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118 - it is no mapping
            facts = {name: (each.get_shape(), each.get_dtype()) for name, each in slices.items()}
    except (SafetensorError, OSError) as error:
        raise no_weights(file, why=str(error)) from error
    return {
        name: torch.empty(shape, dtype=dtype_of(dtype, file), device="meta") for name, (shape, dtype) in facts.items()
    }


def dtype_of(name: str, file: str) -> torch.dtype:
    found = getattr(torch, DTYPES.get(name, ""), None)
    if not isinstance(found, torch.dtype):
        raise no_weights(file, why=f"there are tensors of dtype {name}, which torch has not")
    return found


def without_package(file: str) -> ConfigError:
    message = f"Reading `{file}` needs the package safetensors, which is not installed."
    hint = "Install it by `pip install 'otrainer[data]'`."
    return ConfigError(message, title="safetensors is not installed", hint=hint)


def refuse_missing(file: str) -> str:
    if os.path.isfile(file):  # noqa: PTH113 - reads the same and needs no Path
        return file
    is_folder = os.path.isdir(file)  # noqa: PTH112
    message = f"`{file}` is a folder." if is_folder else f"There is no file `{file}`."
    hint = f"Name a file in it. {KINDS}" if is_folder else "Relative paths start from the project's folder."
    raise ConfigError(message, title="weights not found", suggestions=beside(file), hint=hint)


def beside(file: str) -> tuple[str, ...]:
    """Return the files in the same folder whose names are nearest to that of one that is not there."""
    folder, name = os.path.split(file)
    try:
        there = sorted(os.listdir(folder or os.curdir))  # noqa: PTH208
    except (OSError, ValueError):
        return ()
    return tuple(os.path.join(folder, each) for each in nearest(name, there) if each != name)  # noqa: PTH118


def state_dict(file: str) -> Mapping[str, torch.Tensor]:
    """Return the state dict in a file of torch's: what a checkpoint has under a usual name, itself, or its only one."""
    content = load(refuse_missing(file))
    inner = [name for name, value in content.items() if is_state(value)] if isinstance(content, Mapping) else []
    usual = [name for name in WRAPPED if name in inner]
    if usual or (len(inner) == 1 and not is_state(content)):
        content = content[[*usual, *inner][0]]
    if len(inner) > 1 and not is_state(content):
        several = ", ".join(f"`{name}`" for name in inner[:6])
        raise no_weights(file, why=f"it has the state dicts {several}; save the one that is meant by itself")
    if not is_state(content):
        there = f"it holds {', '.join(f'`{key}`' for key in list(content)[:6])}" if isinstance(content, Mapping) else ""
        raise no_weights(file, why=there or f"it holds a {type(content).__name__}")
    tensors = Tensors((name, value) for name, value in content.items() if isinstance(value, torch.Tensor))
    tensors._metadata = getattr(content, "_metadata", None)
    return tensors


class Tensors(dict[str, torch.Tensor]):
    """A state dict, with the versions of the modules that it is of, where torch kept them."""

    _metadata: Any = None


def is_state(content: Any) -> bool:
    """Return whether something is a state dict: names, most of all of tensors, beside states of another kind."""
    return (
        isinstance(content, Mapping)
        and all(isinstance(name, str) for name in content)
        and any(isinstance(value, torch.Tensor) for value in content.values())
    )


def load(file: str) -> Any:
    try:
        is_archive = zipfile.is_zipfile(file)
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=is_archive)
        if isinstance(content, Mapping) and all(name in content for name in OURS):
            check_container(file)
    except DamagedError as error:
        raise no_weights(file, why=f"it is damaged: {error}") from error
    except OSError as error:
        raise no_weights(file, why=error.strerror or str(error)) from error
    except pickle.UnpicklingError as error:
        raise no_weights(file, why="it is no file of torch's, or holds more than plain data") from error
    except FAILURES as error:
        raise no_weights(file, why=str(error).strip().partition("\n")[0]) from error
    return content


def no_weights(file: str, *, why: str) -> ConfigError:
    message = f"`{file}` cannot be started from: {why.rstrip('.')}."
    return ConfigError(message, title="no weights", hint=KINDS)

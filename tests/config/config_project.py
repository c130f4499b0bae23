"""A folder to write configs into and resolve them from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from otrainer.config import ResolvedConfig, resolve_config
from otrainer.config.errors import ConfigError, ResolveError, format_error_with_context

HEAD = "schema_version: 1\nmodel: {}\n"


class Project:
    """Files of one test, which is run from their folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def resolve(self, text: str | bytes = "", *, env: Mapping[str, str] | None = None, **files: str) -> ResolvedConfig:
        """Resolve `exp.yaml`, which holds `text`; other files are given by their names without the ending."""
        for name, content in files.items():
            self.write(f"{name}.yaml", content)
        if text:
            self.write("exp.yaml", text)
        return resolve_config("exp.yaml", env=env or {})

    def data(self, text: str = "", *, env: Mapping[str, str] | None = None, **files: str) -> dict[str, Any]:
        """What `text` resolves to, `schema_version` and `model` aside, which are added to it."""
        data = self.resolve(HEAD + text, env=env, **files).data
        return {key: value for key, value in data.items() if key not in {"schema_version", "model"}}

    def error(self, text: str | bytes = "", *, env: Mapping[str, str] | None = None, **files: str) -> ResolveError:
        """How resolving fails; nothing is added to `text`."""
        with pytest.raises(ConfigError) as caught:
            self.resolve(text, env=env, **files)
        assert isinstance(caught.value, ResolveError)
        return caught.value

    def drawn(self, text: str | bytes = "", *, env: Mapping[str, str] | None = None, **files: str) -> str:
        """How the failure is drawn, under a line of its own as tests quote it."""
        return "\n" + format_error_with_context(self.error(text, env=env, **files)) + "\n"

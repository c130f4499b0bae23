"""The table of lines says what is there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

FOLDER = Path(__file__).parent


def test_the_table_has_the_lines_that_there_are() -> None:
    spec = importlib.util.spec_from_file_location("lines", FOLDER / "lines.py")
    assert spec is not None and spec.loader is not None
    lines = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lines)
    page = (FOLDER / "README.md").read_text()
    told = re.findall(r"(?m)^\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", page)

    assert {name: (int(config), int(plugin), int(plain)) for name, config, plugin, _, plain in told} == lines.rows()
    assert all(int(both) == int(config) + int(plugin) for _, config, plugin, both, _ in told)

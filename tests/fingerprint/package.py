"""Packages of a few files to take fingerprints of."""

from __future__ import annotations

from pathlib import Path

from otrainer.fingerprint import Code, Fingerprints


class Package:
    """Modules below a folder on `sys.path`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, modules: dict[str, str]) -> None:
        """Write modules, named by their paths without suffix."""
        for name, text in modules.items():
            path = self.folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def edit(self, module: str, old: str, new: str) -> None:
        """Replace the only place of `old`."""
        path = self.folder / f"{module}.py"
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {module}"
        path.write_text(text.replace(old, new))

    def code(self, target: str) -> Code:
        return Fingerprints(root=self.folder).symbol(target)

    def registered(self, plugin: str, key: str, target: str) -> str:
        return Fingerprints(root=self.folder).registered(plugin, key, target).digest

    def plugin(self, name: str) -> str:
        return Fingerprints(root=self.folder).plugin(name).digest

"""Every callable that a config reaches, read from its text and from sources: nothing of it is imported or run."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from otrainer.commands.code_places import display_file, package_of
from otrainer.config.settings import module_allowed
from otrainer.config.walk import mappings, walk
from otrainer.errors import ConfigError, Finding
from otrainer.fingerprint.locate import parents
from otrainer.fingerprint.names import WHOLE
from otrainer.registry import build_registry
from otrainer.registry.code_rows import Registered, registrations
from otrainer.registry.dotted_names import named_in
from otrainer.registry.plugins.load import check_imports
from otrainer.registry.static_source import Finder, Place
from otrainer.registry.usage import COMPOSITION_ROOT, ROOT_KEY, keys_in, registered_in

if TYPE_CHECKING:
    from otrainer.config import ResolvedConfig
    from otrainer.errors import ConfigPath
    from otrainer.fingerprint import Code, Fingerprints, Unseen

SHORT = 12
TASKS, ROOT = "run by doit itself", "puts an experiment together"
PLUGINS, MODULES, PACKAGES = "imported as plugins", "imported by these", "installed packages that these import"
COMPONENTS, MODEL, TARGETS, NAMED = "components", "modules and ops of the model", "targets", "named by an argument"
KINDS = (TASKS, ROOT, PLUGINS, MODULES, PACKAGES, COMPONENTS, MODEL, TARGETS, NAMED)
NOTHING = hashlib.sha256(b"").hexdigest()


class Reached(NamedTuple):
    """Something that is called: its kind and name, the "module:name" behind it, its place, and which code it is.

    That is a `fingerprint`, or the `package` ("torch 2.13.0") for code that is installed.
    """

    kind: str
    name: str
    target: str
    file: str = ""
    line: int = 0
    fingerprint: str = ""
    package: str = ""

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}" if self.file else "no source"

    @property
    def code(self) -> str:
        return "does nothing" if self.fingerprint == NOTHING else self.fingerprint[:SHORT] or self.package


class Audit:
    """What one config reaches; `findings` are the parts of it that are refused, of which nothing is listed.

    `unfollowed` are the places, with who reaches each, whose reach no reading of sources follows. All of them are: what
    a training saw of it stands in files that may be somebody else's.
    """

    def __init__(self, config: ResolvedConfig, prints: Fingerprints, root: Path) -> None:
        self.config, self.prints, self.root = config, prints, root
        self.registry, self.finder, self.findings = build_registry(), Finder(), list[Finding]()
        self.refused = False
        self.unfollowed: dict[Unseen, dict[str, None]] = {}
        self.imports: list[str] = []
        try:
            self.imports += check_imports(config.data.get("imports"), config.settings, ("imports",))
        except ConfigError as error:
            self.findings += error.findings
            self.refused = True
        self.registered: dict[str, Registered] = {}
        self.computed: list[str] = []
        for plugin in self.imports:
            found, _ = registrations(plugin, self.finder)
            self.registered = {**found, **self.registered}
            summary = prints.sources.summary(plugin)
            if summary is not None and summary.registration is None:
                self.computed.append(plugin)

    def rows(self) -> list[Reached]:
        """Return everything that is reached, by kinds in their order, each in the order of names but for plugins."""
        root = self.row(ROOT, ROOT_KEY, COMPOSITION_ROOT)
        found = [*self.tasks(), root, *self.plugins(), *self.modules(), *self.packages(), *self.named()]
        return sorted(dict.fromkeys(found), key=lambda row: (KINDS.index(row.kind), self.rank(row), row.name))

    def rank(self, row: Reached) -> int:
        return self.imports.index(row.name.partition(":")[0]) if row.kind == PLUGINS else 0

    def tasks(self) -> Iterator[Reached]:
        """Yield what doit runs before it reads a config: the project's tasks, and plugins of doit's own."""
        for name in ("dodo.py", "doit.cfg"):
            if (self.root / name).is_file():
                digest = hashlib.sha256((self.root / name).read_bytes()).hexdigest()
                yield Reached(TASKS, name, "", name, 1, digest)

    def plugins(self) -> Iterator[Reached]:
        """Yield each plugin's module, and the function by which it registers."""
        for plugin in self.imports:
            place = self.finder.whole(plugin)
            fingerprint = self.digest(plugin, self.prints.plugin(plugin)) if self.is_local(plugin) else ""
            yield self.at(PLUGINS, plugin, f"{plugin}:", place, fingerprint)
            if register := self.finder.find(plugin, "register"):
                name = f"{plugin}:register"
                # It reaches every key: what is not followed is told of those that are used.
                fingerprint = self.prints.register_of(plugin).digest if self.is_local(plugin) else ""
                yield self.at(PLUGINS, name, name, register, fingerprint)

    def modules(self) -> Iterator[Reached]:
        """Yield the project's modules that plugins import, the packages around them included."""
        above = {name for plugin in self.imports for name in parents(plugin)}
        for name in sorted({*self.prints.modules(self.imports), *above} - set(self.imports)):
            if self.is_local(name) and name.partition(".")[0] != ROOT_KEY:
                fingerprint = self.digest(name, self.prints.imported(name))
                yield self.at(MODULES, name, f"{name}:", self.finder.whole(name), fingerprint)

    def packages(self) -> Iterator[Reached]:
        """Yield the installed packages that plugins and the modules behind them import."""
        local = [name for name in self.prints.modules(self.imports) if name.partition(".")[0] != ROOT_KEY]
        summaries = filter(None, map(self.prints.sources.summary, local))
        statements = [each for summary in summaries for each in summary.statements]
        imported = {name.partition(".")[0] for each in statements for name in (*each.modules, *each.later)}
        for name in sorted(imported - {ROOT_KEY}):
            if not self.is_local(name) and name not in sys.stdlib_module_names and self.finder.locator.file(name):
                yield self.at(PACKAGES, name, f"{name}:", self.finder.whole(name), "")

    def named(self) -> Iterator[Reached]:
        """Yield what the config itself names: components, classes, ops, targets."""
        for path, form, name in keys_in(self.config.data):
            if form == "_target_":
                yield from self.target(name, path)
            else:
                yield from self.component(name, MODEL if path[0] == "model" else COMPONENTS, path)
        for _, spec in mappings(self.config.data):
            if spec.get("_type_") == "metric.torchmetrics" and isinstance(metric := spec.get("metric"), str):
                yield self.row(NAMED, f"torchmetrics.{metric}", f"torchmetrics:{metric}")
        for name, target in self.dotted():
            yield self.row(NAMED, name, target)
        if self.config.data.get("run", {}).get("compile"):
            yield self.row(NAMED, "torch.compile", "torch:compile")

    def dotted(self) -> Iterator[tuple[str, str]]:
        """Yield the dotted names of local code among the values, which a component may import, with their targets."""
        if not self.refused:
            yield from named_in(walk(self.config.data), self.prints).items()

    def component(self, key: str, kind: str, path: ConfigPath) -> Iterator[Reached]:
        """Yield a key or op: built in, or registered by a plugin; where no source says by which, by any that may."""
        if key in self.registered:
            plugin, line, target = self.registered[key]
            found = self.row(kind, key, target or f"{plugin}:register", plugin)
            yield found if target else found._replace(line=line)
            return
        try:
            yield self.row(kind, key, registered_in(self.registry)(key).target)
        except ConfigError as error:
            yield from (self.row(kind, key, f"{plugin}:register", plugin) for plugin in self.computed)
            if not self.computed and not self.refused:
                self.findings += [finding.at_least(path) for finding in error.findings]

    def target(self, name: str, path: ConfigPath) -> Iterator[Reached]:
        """Yield what a `_target_` names, where that is allowed."""
        settings = self.config.settings
        module, attribute = self.split(name)
        if not settings.allow_target or not module_allowed(module, settings.allowed_import_prefixes):
            why = "is under no allowed prefix" if settings.allow_target else "is switched off by the settings"
            hint = "`settings.allow_target` and `settings.allowed_import_prefixes` allow it, if it is meant."
            self.findings.append(Finding(f"The target `{name}` {why}.", "target not allowed", path, hint=hint))
        else:
            yield self.row(TARGETS, name, f"{module}:{attribute}")

    def split(self, name: str) -> tuple[str, str]:
        """Split a dotted name into the longest module with a file, and the name in it."""
        parts = name.split(".")
        sizes = [size for size in range(len(parts) - 1, 0, -1) if self.finder.locator.file(".".join(parts[:size]))]
        size = sizes[0] if sizes else max(1, len(parts) - 1)
        return ".".join(parts[:size]), ".".join(parts[size:])

    def row(self, kind: str, name: str, target: str, plugin: str | None = None) -> Reached:
        module, _, attribute = target.partition(":")
        place = self.finder.whole(module) if attribute == WHOLE else self.finder.find(module, attribute)
        local = self.is_local(place.module if place else module)
        fingerprint = self.digest(name, self.prints.registered(plugin, name, target)) if local or plugin else ""
        return self.at(kind, name, target, place, fingerprint)

    def digest(self, name: str, code: Code) -> str:
        """Return the digest of what is listed as `name`, and note what of its code is not followed."""
        for each in code.unfollowed:
            self.unfollowed.setdefault(each, {})[name] = None
        return code.digest

    def at(self, kind: str, name: str, target: str, place: Place | None, fingerprint: str) -> Reached:
        module = place.module if place else target.partition(":")[0]
        package = "" if fingerprint else package_of(module)
        if place is None or place.file is None:
            return Reached(kind, name, target, "", 0, fingerprint, package)
        return Reached(kind, name, target, display_file(place.file, self.root), place.line, fingerprint, package)

    def is_local(self, module: str) -> bool:
        return self.prints.file_of(module) is not None

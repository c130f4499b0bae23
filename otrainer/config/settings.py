"""Read what the resolver itself needs of a config: settings, `schema_version`, the form of `model` and `imports`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from otrainer.config.nodes import TEXT, Mapping, Node, Scalar, Sequence, is_null, key_place_of, kind_of, place_of
from otrainer.config.scalars import as_text
from otrainer.config.secrets import holds_secret, out_of_place
from otrainer.errors import ConfigPath, Finding, dotted, nearest

SCHEMA_VERSION = 1
MODULE = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
PACKAGE = "[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
BEFORE = "it is read before any component is built"


@dataclass(frozen=True, slots=True)
class Settings:
    """How strictly a config is read, and what it may import."""

    strict: bool = True
    allow_imports: bool = True
    allow_target: bool = False
    allowed_import_prefixes: tuple[str, ...] = ("otrainer.", "extensions.")
    track_packages: tuple[str, ...] = ()

    @classmethod
    def of(cls, section: AnyMapping[str, Any] | None) -> Settings:
        """Return the settings of a resolved config's section, which `parse_settings` has checked."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in (section or {}).items()
        }
        return cls(**values)


def module_allowed(name: str, prefixes: Iterable[str]) -> bool:
    """Return whether the module `name` lies under one of `prefixes`, compared in whole dotted parts."""
    for prefix in prefixes:
        parts = prefix.removesuffix(".")
        if parts and (name == parts or name.startswith(f"{parts}.")):
            return True
    return False


def is_module_name(text: str) -> bool:
    """Return whether `text` is a dotted sequence of identifiers."""
    return all(part.isidentifier() for part in text.split("."))


def is_prefix(text: str) -> bool:
    """Return whether `text` is a module name, with or without a final dot."""
    return is_module_name(text.removesuffix("."))


def is_distribution(text: str) -> bool:
    """Return whether `text` may name an installed package (PEP 508)."""
    return re.fullmatch(PACKAGE, text) is not None


class Setting(NamedTuple):
    """What a setting takes: a boolean, or a list of names that fit; `doc` and `pattern` are for editors."""

    doc: str
    hint: str = "Write `true` or `false`."
    fits: Callable[[str], bool] | None = None
    pattern: str = ""


SETTINGS = {
    "strict": Setting("Whether unknown sections and reserved keys are errors (default: true)."),
    "allow_imports": Setting("Whether `imports` may name anything (default: true)."),
    "allow_target": Setting("Whether `_target_` may name Python objects (default: false)."),
    "allowed_import_prefixes": Setting(
        "Packages from which plugins and targets may come (default: `[otrainer., extensions.]`).",
        "Write a list of packages such as `[otrainer., extensions.]`.",
        is_prefix,
        rf"^{MODULE}\.?$",
    ),
    "track_packages": Setting(
        "Installed packages whose version counts as part of what is trained.",
        "Write a list of installed packages such as `[numpy]`: those whose version shall count.",
        is_distribution,
        f"^{PACKAGE}$",
    ),
}


def parse_settings(node: Node | None, findings: list[Finding]) -> Settings:
    """Parse the `settings` section; what is wrong in it is added to `findings` and keeps its default."""
    if node is None or is_null(node) or is_broken(node):
        return Settings()
    if not isinstance(node, Mapping):
        hint = "Write `settings: {strict: true}`, or leave it out."
        findings.append(wrong_kind(node, ("settings",), "a mapping", hint))
        return Settings()
    values: dict[str, Any] = {}
    for name, value in node.items.items():
        setting = SETTINGS.get(name)
        if setting is None:
            findings.append(unknown_setting(name, value))
        elif not is_broken(value):
            parsed = parse_value(setting, value, ("settings", name), findings)
            if parsed is not None:
                values[name] = parsed
    return Settings(**values)


def parse_value(
    setting: Setting, node: Node, path: ConfigPath, findings: list[Finding]
) -> bool | tuple[str, ...] | None:
    """Return the value of a setting, or None where it does not fit."""
    if setting.fits is not None:
        return module_list(node, path, findings, "a package's name", setting.hint, setting.fits)
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    findings.append(wrong_kind(node, path, "a boolean", setting.hint))
    return None


def module_list(
    node: Node, path: ConfigPath, findings: list[Finding], what: str, hint: str, fits: Callable[[str], bool]
) -> tuple[str, ...] | None:
    """Return the strings of a list of dotted names; None where one of them does not fit."""
    if not isinstance(node, Sequence):
        findings.append(wrong_kind(node, path, "a list", hint))
        return None
    names: list[str] = []
    for index, item in enumerate(node.items):
        text = item.value if isinstance(item, Scalar) else None
        if is_broken(item):
            continue
        if not isinstance(text, str):
            findings.append(wrong_kind(item, (*path, index), what, hint))
        elif holds_secret(text):
            findings.append(out_of_place((*path, index), why=BEFORE, at=place_of(item)))
        elif not fits(text):
            message = f"`{text}` is not {what}."
            findings.append(Finding(message, "invalid name", (*path, index), location=place_of(item), hint=hint))
        else:
            names.append(text)
    return tuple(names) if len(names) == len(node.items) else None


def check_schema(root: Mapping, findings: list[Finding]) -> None:
    """Check `schema_version`, `model` and `imports`; what is wrong is added to `findings`."""
    check_version(root, findings)
    model, imports = root.items.get("model"), root.items.get("imports")
    if model is None:
        hint = "Describe the model under `model: {sequential: ...}` or `model: {graph: ...}`."
        findings.append(missing_entry(root, "model", "missing model", hint))
    elif not isinstance(model, Mapping) and not is_broken(model):
        hint = "Write `model: {sequential: ...}` or `model: {graph: ...}`."
        findings.append(wrong_kind(model, ("model",), "a mapping", hint))
    if imports is not None and not is_null(imports) and not is_broken(imports):
        hint = "Write a list of modules such as `imports: [extensions.my_plugin]`."
        module_list(imports, ("imports",), findings, "a module's name", hint, is_module_name)


def check_version(root: Mapping, findings: list[Finding]) -> None:
    version = root.items.get("schema_version")
    hint = f"Write `schema_version: {SCHEMA_VERSION}` at the top of the file, or once in the base under all of them."
    if version is None:
        findings.append(missing_entry(root, "schema_version", "missing schema_version", hint))
    elif is_broken(version):
        return
    elif not isinstance(version, Scalar) or type(version.value) is not int:
        findings.append(wrong_kind(version, ("schema_version",), "the integer 1", hint))
    elif version.value != SCHEMA_VERSION:
        message = f"`schema_version` {as_text(version.value)} is not known here; this version reads {SCHEMA_VERSION}."
        findings.append(
            Finding(message, "unknown schema version", ("schema_version",), location=place_of(version), hint=hint)
        )


def is_broken(node: Node | None) -> bool:
    """Return whether the node is an expression that could not be evaluated, which has a finding of its own."""
    return isinstance(node, Scalar) and bool(node.special & TEXT)


def missing_entry(root: Mapping, name: str, title: str, hint: str) -> Finding:
    typo = tuple(key for key in nearest(name, root.items) if nearest(name, [key]))
    message = f"The config has no `{name}`."
    return Finding(message, title, (name,), location=place_of(root), suggestions=typo[:1], hint=hint)


def unknown_setting(name: str, value: Node) -> Finding:
    message, near = f"There is no setting `{name}`.", nearest(name, SETTINGS)
    path, hint = ("settings", name), f"The settings are {', '.join(f'`{setting}`' for setting in SETTINGS)}."
    return Finding(
        message, "unknown setting", path, location=key_place_of(value), on_key=True, suggestions=near, hint=hint
    )


def wrong_kind(node: Node, path: ConfigPath, expected: str, hint: str) -> Finding:
    if isinstance(node, Scalar) and holds_secret(node.value):
        return out_of_place(path, why=BEFORE, at=place_of(node))
    shown = f"{kind_of(node)}, not {expected}"
    if isinstance(node, Scalar) and node.value is not None:
        shown = f"`{as_text(node.value)}`, {shown}"
    return Finding(f"`{dotted(path)}` is {shown}.", "wrong type", path, location=place_of(node), hint=hint)

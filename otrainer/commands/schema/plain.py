"""The sections that hold no components: the run, the settings, and what a file says of itself."""

from __future__ import annotations

from otrainer.commands.schema.values import HOLDS, Schema, mapping, offered, place, ref
from otrainer.config import names
from otrainer.config.checks import COMPILE_OPTIONS, MATMUL_PRECISIONS, PRECISIONS
from otrainer.config.settings import SCHEMA_VERSION

MODULE = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
PACKAGE = "[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
LARGEST_SEED = 2**63 - 1
FLAG = {"type": "boolean"}
NULL = {"type": "null"}


def plain_sections() -> Schema:
    version, paths = {"const": SCHEMA_VERSION}, {"type": "string", "minLength": 1}
    files = {"type": ["array", "null"], "items": paths, "errorMessage": "`defaults` is a list of paths."}
    trees = {"type": ["object", "null"], "additionalProperties": ref("value")}
    return {
        "schema_version": offered(place(version), version) | {"description": "The version of the contract."},
        "defaults": files
        | {"description": "Files that lie below this one, relative to it: each is laid over the earlier ones."},
        "templates": offered(trees)
        | {"description": "Trees by name; `_template_: NAME` anywhere lays a mapping over one."},
        "params": offered(ref("value")) | {"description": "Values of your own, to be read by `${params.NAME}`."},
        "imports": modules() | {"description": "Plugins: modules with a `register(registry)`, in their order."},
        "settings": place(settings()) | {"description": "How strictly a config is read, and what it may import."},
        "run": place(run()) | {"description": "What the run is called, where it goes, and on what it runs."},
        "_template_": ref("_template_"),
    }


def run() -> Schema:
    """The keys of `run`; null counts as left out."""
    number = {"type": ["integer", "null"], "minimum": 0, "maximum": LARGEST_SEED}
    options: Schema = dict.fromkeys(COMPILE_OPTIONS, True)
    compiled = {"type": ["boolean", "object", "null"], "properties": options, "additionalProperties": False}
    flag = {"type": ["boolean", "null"]}
    keys = {
        "name": text("The run's name, a plain one: letters, digits, `_`, `-` and `.`.", f"^{names.PATTERN}$"),
        "out_dir": text("The path of the run's folder, such as `runs/${run.name}`."),
        "seed": place(number) | {"description": "Where all randomness starts from: 0 to 2**63 - 1."},
        "device": text("The device: `cpu`, `cuda`, `cuda:1` or `mps`."),
        "precision": one_of(PRECISIONS) | {"description": "The precision of the forward pass."},
        "deterministic": offered(place(flag), FLAG)
        | {"description": "Whether only algorithms are used that come to the same bits each time."},
        "compile": offered(place(compiled), FLAG) | {"description": "Whether torch.compile is used, or its arguments."},
        "matmul_precision": one_of(MATMUL_PRECISIONS) | {"description": "How exactly float32 matrices are multiplied."},
        "resume_from": text("The path of a checkpoint to start from, such as `runs/NAME/checkpoints/last.pt`."),
    }
    return mapping("`run` is a mapping such as `{name: ..., out_dir: ...}`.", {"_template_": ref("_template_"), **keys})


def settings() -> Schema:
    flag = offered(place(FLAG), FLAG)
    keys = {
        "strict": flag | {"description": "Whether unknown sections and reserved keys are errors (default: true)."},
        "allow_imports": flag | {"description": "Whether `imports` may name anything (default: true)."},
        "allow_target": flag | {"description": "Whether `_target_` may name Python objects (default: false)."},
        "allowed_import_prefixes": words(rf"^{MODULE}\.?$")
        | {"description": "Packages from which plugins and targets may come (default: `[otrainer.]`)."},
        "track_packages": words(f"^{PACKAGE}$")
        | {"description": "Installed packages whose version counts as part of what is trained."},
    }
    whole = mapping("`settings` is a mapping.", {"_template_": ref("_template_"), **keys})
    whole["allOf"] = [{"type": ["object", "null"], "errorMessage": "`settings` is a mapping."}]
    return whole


def text(words: str, pattern: str = r"\S") -> Schema:
    rule = {"type": ["string", "null"], "pattern": f"{pattern}|{HOLDS}", "errorMessage": words}
    return offered(rule) | {"description": words}


def one_of(names: tuple[str, ...]) -> Schema:
    forms = {"enum": [*names, None]}
    return offered(place(forms), {"enum": list(names)})


def words(pattern: str) -> Schema:
    element = {"type": "string", "pattern": f"{pattern}|{HOLDS}", "errorMessage": "This is a package's name."}
    return place({"type": "array", "items": element}, element)


def modules() -> Schema:
    message = "A module's name, such as `extensions.mine`."
    element = {"type": "string", "pattern": f"^{MODULE}$|{HOLDS}", "errorMessage": message}
    form = {"type": ["array", "null"], "errorMessage": "`imports` is a list of modules."}
    return place({"items": element, "allOf": [form]}, element)

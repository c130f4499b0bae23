"""The tables of the READMEs say what the code's own tables say, so that neither drifts from the other."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from readme_pages import FENCE, ROOT, bare, names_in, page_text, table

from otrainer import protocols
from otrainer.config import resolve_config
from otrainer.config.limits import Limits
from otrainer.config.sections import KNOWN_SECTIONS, RUN_KEYS, SECTIONS
from otrainer.config.settings import Settings
from otrainer.engine.checkpoint import PARTS
from otrainer.engine.state import RunSettings
from otrainer.errors import ConfigError
from otrainer.registry import build_registry
from otrainer.registry.builtins import COMPONENTS
from otrainer.registry.contracts import CONTRACTS, Method
from otrainer.registry.entries import POLICIES

CONFIGS, EXTENSIONS, RUNS, SECURITY = "configs/README.md", "extensions/README.md", "runs/README.md", "SECURITY.md"
TESTS = "tests/README.md"
HEAD = "schema_version: 1\nmodel: {}\n"
PARAMS = "params: {width: 64, name: big, dims: [32, [64, 16]], on: true}\n"


def read(folder: Path, text: str, **env: str) -> dict[str, Any]:
    (folder / "probe.yaml").write_text(text)
    return resolve_config(folder / "probe.yaml", env=env).data


def check(folder: Path, wanted: str, text: str, **env: str) -> None:
    """The value `probe` of a config is the wanted one, or resolving it fails under the wanted title."""
    if wanted.startswith("error: "):
        with pytest.raises(ConfigError) as caught:
            read(folder, text, **env)
        assert caught.value.findings[0].title == wanted.removeprefix("error: ")
    else:
        assert read(folder, text, **env)["probe"] == yaml.safe_load(bare(wanted))


@pytest.mark.parametrize("row", table(CONFIGS, "written", "is"), ids=str)
def test_scalars_are_read_as_the_table_says(row: list[str], tmp_path: Path) -> None:
    check(tmp_path, row[1], f"{HEAD}probe: {bare(row[0])}\n")


@pytest.mark.parametrize("row", table(CONFIGS, "below", "on top"), ids=str)
def test_merging_comes_to_what_the_table_says(row: list[str], tmp_path: Path) -> None:
    (tmp_path / "below.yaml").write_text(f"{HEAD}probe: {bare(row[0])}\n")
    check(tmp_path, row[2], f"defaults: [below.yaml]\nprobe: {bare(row[1])}\n")


@pytest.mark.parametrize("row", table(CONFIGS, "written", "environment"), ids=str)
def test_expressions_come_to_what_the_table_says(row: list[str], tmp_path: Path) -> None:
    written, environment, wanted = row
    name, _, value = bare(environment).partition("=")
    check(tmp_path, wanted, f"{HEAD}{PARAMS}probe: '{bare(written)}'\n", **({name: value} if name else {}))


def test_every_merge_mode_has_a_row() -> None:
    from otrainer.config.containers import MODES

    assert [bare(row[0]) for row in table(CONFIGS, "mode", "takes")] == list(MODES)


def test_every_top_level_key_has_a_row() -> None:
    rows = {bare(row[0]): row[1:] for row in table(CONFIGS, "key", "needed", "what stands there")}

    assert set(rows) == {*KNOWN_SECTIONS, "defaults", "templates"}
    for section in SECTIONS:
        needed, words = rows[section.name]
        assert needed == ("yes" if section.required else "no")
        assert f"`{section.prefix}*`" in words
        assert not section.cls or f"`type: {section.cls}*`" in words
        assert ("a list of specs" in words) == section.many


def test_every_key_of_run_has_a_row_with_its_default() -> None:
    rows = {bare(row[0]): bare(row[2]) for row in table(CONFIGS, "key", "type", "default")}
    defaults = {part.name: part.default for part in fields(RunSettings)}

    assert list(rows) == list(RUN_KEYS)
    for name, default in rows.items():
        assert (default == "needed") == RUN_KEYS[name].required
        assert default == "needed" or yaml.safe_load(default) == defaults[name] == RUN_KEYS[name].default


def test_every_setting_has_a_row_with_its_default() -> None:
    rows = {bare(row[0]): yaml.safe_load(bare(row[2])) for row in table(CONFIGS, "setting", "type")}
    defaults = {part.name: getattr(Settings(), part.name) for part in fields(Settings)}

    assert rows == {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}


@pytest.mark.parametrize("page", [CONFIGS, SECURITY])
def test_every_limit_has_a_row_with_its_default(page: str) -> None:
    rows = {bare(row[0]): int(row[1].split()[0].replace(",", "")) for row in table(page, "limit", "default")}

    assert rows == {part.name: part.default for part in fields(Limits)}


def test_every_op_and_block_has_a_row() -> None:
    registry = build_registry()

    assert sorted(bare(row[0]) for row in table(CONFIGS, "op", "takes")) == [
        op for op in registry.list_ops() if "." not in op
    ]
    rows = table(CONFIGS, "block", "arguments with their defaults")
    assert [bare(row[0]) for row in rows] == [
        key for key in ("mlp", "conv_bn_act", "residual_block", "normalize") if key in registry
    ]
    for key, arguments in rows:
        assert names_in(arguments) == signature(registry.get_module(bare(key)).target)


def test_the_interfaces_are_the_protocols_with_all_their_methods() -> None:
    page = page_text(EXTENSIONS)
    written = page.partition("<!-- interfaces -->\n\n")[2].partition("\n\n<!-- /interfaces -->")[0]

    assert written == "\n".join(interfaces())


def test_every_method_and_mark_of_a_protocol_is_explained() -> None:
    named = {word for code in names_in(FENCE.sub("", page_text(EXTENSIONS))) for word in re.findall(r"\w+", code)}
    found = [each for each in vars(protocols).values() if getattr(each, "_is_protocol", False)]
    members = {name for each in found for name in (*vars(each), *inspect.get_annotations(each)) if name[0] != "_"}

    assert {"files", "check_progress", "runs_last", "splits_among_workers", "should_stop"} <= members
    assert members <= named


def test_every_hook_and_policy_has_a_row() -> None:
    callbacks = next(contract for contract in CONTRACTS if contract.prefix == "cb.")

    assert [bare(row[0]) for row in table(EXTENSIONS, "hook", "is called")] == [str(m) for m in callbacks.methods]
    assert [bare(row[0]) for row in table(EXTENSIONS, "signature policy")] == list(POLICIES)


def test_every_built_in_component_has_a_row_with_its_arguments() -> None:
    rows = {key: arguments for keys, arguments, _ in table(EXTENSIONS, "key", "arguments") for key in names_in(keys)}
    registry = build_registry()

    assert list(rows) == [key for key, _, _ in COMPONENTS]
    for key, arguments in rows.items():
        if "](" not in arguments:
            assert names_in(arguments) == signature(registry.get_module(key).target), key


def test_the_families_of_torch_have_all_their_keys() -> None:
    keys = build_registry().list_modules()
    rows = {bare(row[0]).removesuffix("*"): row[1] for row in table(EXTENSIONS, "family", "keys")}

    for prefix in ("optim_cls.", "sched_cls."):
        assert sorted(names_in(rows[prefix])) == sorted(
            key.removeprefix(prefix) for key in keys if key.startswith(prefix)
        )
    assert set(names_in(rows["nn."])) <= set(keys)


def test_every_part_of_a_checkpoint_has_a_row() -> None:
    rows = [bare(row[0]) for row in table(RUNS, "part", "holds")]
    later = {"attributes", "logs", "turns", "trained"}  # which older files do not have

    assert [name for name in rows if name not in later] == list(PARTS)
    assert later <= set(rows)


@pytest.mark.parametrize(
    ("page", "header", "key"),
    [
        (RUNS, "argument of `cb.model_checkpoint`", "cb.model_checkpoint"),
        (EXTENSIONS, "argument of `trainer.default`", "trainer.default"),
        (EXTENSIONS, "argument of `data.dataset`", "data.dataset"),
    ],
)
def test_every_argument_of_a_component_that_is_explained_has_a_row(page: str, header: str, key: str) -> None:
    named = [name for row in table(page, header) for name in names_in(row[0])]

    assert sorted(named) == sorted(inspect.signature(build_registry().get_module(key).target).parameters)


def test_every_shipped_experiment_has_a_row() -> None:
    names = sorted(path.stem for path in ROOT.glob("configs/experiments/*.yaml"))

    assert sorted(bare(row[0]) for row in table(CONFIGS, "shipped experiment")) == names


@pytest.mark.parametrize("page", [CONFIGS, EXTENSIONS])
def test_every_title_that_is_explained_is_one_that_is_drawn(page: str) -> None:
    drawn = (*ROOT.glob("tests/diagnostics/golden/*.txt"), ROOT / "tests/config/test_drawn.py")
    lines = "".join(path.read_text() for path in drawn)
    titles = {title.strip("`") for title in re.findall(r"^ *(\S[^\n]*?) ── ", lines, re.MULTILINE)}
    tried = {row[2].removeprefix("error: ") for row in table(CONFIGS, "written", "environment")}

    assert {row[0].strip("` ") for row in table(page, "title")} <= titles | tried


def test_every_verb_is_in_the_table_of_commands() -> None:
    """A task of dodo.py that people type; the stages, of which `train` and `resume` consist, are not among them."""
    tasks = re.findall(r"^def task_(\w+)", (ROOT / "dodo.py").read_text(), re.MULTILINE)
    shown = re.findall(r"`doit ([\w-]+)", "".join(row[0] for row in table("README.md", "command", "what it does")))

    assert sorted(shown) == sorted(
        ["list", *(name.replace("_", "-") for name in tasks if name not in ("resolve", "manifest", "fit"))]
    )


def test_every_folder_of_tests_has_a_row() -> None:
    folders = sorted(f"tests/{path.parent.name}" for path in ROOT.glob("tests/*/*.py"))

    assert [bare(row[0]) for row in table(TESTS, "folder", "covers")] == list(dict.fromkeys(folders))


def test_every_file_of_tests_that_is_named_is_there() -> None:
    named = re.findall(r"`(?:python )?([\w/]+\.py)\b[^`]*`", page_text(TESTS))

    assert named
    assert [name for name in named if not (ROOT / name).is_file() and not (ROOT / "tests" / name).is_file()] == []


@pytest.mark.parametrize(("kind", "folder"), [("campaign", "campaigns"), ("benchmark", "bench")])
def test_every_campaign_and_benchmark_has_a_row(kind: str, folder: str) -> None:
    names = re.search(r"^[A-Z]+ = \(([^)]*)\)", (ROOT / "tests" / folder / "dodo.py").read_text(), re.MULTILINE)

    assert names is not None
    assert [bare(row[0]) for row in table(TESTS, kind)] == re.findall(r"\w+", names[1])


def test_the_parts_of_the_tests_that_can_be_run_are_there() -> None:
    for command, _ in table(TESTS, "command", "runs"):
        for path in re.findall(r"tests/[\w/.:]+", command):
            file, _, name = path.partition("::")
            assert (ROOT / file).exists()
            assert f"def {name}" in (ROOT / file).read_text() if name else True


def interfaces() -> Iterator[str]:
    """The table of the nine protocols, in the order of the sections."""
    contracts = {contract.prefix: contract for contract in CONTRACTS}
    yield "| section | keys | protocol | must have | may have |"
    yield "|---|---|---|---|---|"
    sections = [(section.name, section.prefix) for section in SECTIONS]
    for name, prefix in (*sections, ("data.sampler", "sampler."), ("data.batch_sampler", "batch_sampler.")):
        contract = contracts.pop(prefix)
        needed, free = (
            ", ".join(offer(contract.protocol, method) for method in contract.methods if method.required == required)
            for required in (True, False)
        )
        yield f"| `{name}` | `{prefix}*` | `{contract.protocol.__name__}` | {needed} | {free} |"
    assert not contracts


def offer(protocol: type, method: Method) -> str:
    """A method as a table shows it, with what it returns."""
    returned = vars(protocol)[method.name].__annotations__["return"]
    return f"`{method}`" if returned == "None" else f"`{method}` → `{returned.replace(' | ', ' or ')}`"


def signature(function: Any) -> list[str]:
    """The arguments of a function as a table writes them: with what they are where they are left out."""
    defaults = made_by_dataclass(function)
    given = inspect.signature(function).parameters.values()
    return [
        part.name if part.default is part.empty else f"{part.name}={shown(defaults.get(part.name, part.default))}"
        for part in given
    ]


def made_by_dataclass(function: Any) -> dict[str, Any]:
    """Defaults that a signature does not show, since each object gets its own."""
    parts = fields(function) if is_dataclass(function) else ()
    return {part.name: part.default_factory() for part in parts if part.default_factory is not MISSING}


def shown(default: object) -> str:
    return f'"{default}"' if isinstance(default, str) else repr(default)

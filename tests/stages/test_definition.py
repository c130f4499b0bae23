"""The definition of a run changes with what decides the training, and with nothing else: values, used code, data."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otrainer.registry.usage import COMPOSITION_ROOT, code_behind, keys_in, listed_in
from otrainer.stages.definition import define, detail, fingerprints, look, outdated
from otrainer.stages.freshness.counting import Compared
from otrainer.storage.canonical_json import canonical_json, from_json
from otrainer.storage.data_files import identify

PARTS = '''\
"""Parts."""
from . import helper


class Part:
    def run(self):
        return helper.used()

    @classmethod
    def made(cls):
        return cls()


class Beside:
    value = 1


def doubled(x):
    return 2 * x


def register(registry):
    registry.register_module("my.part", Part)
    registry.register_module("my.beside", Beside)
    registry.register_op("doubled", doubled)
'''
HELPER = "def used():\n    return SIZE\n\n\nSIZE = 1\nSPARE = 1\n"
ROWS = {"my.part": "Part", "my.beside": "Beside"}
MANIFEST = {
    "modules": {key: {"target": f"plug.parts:{name}", "plugin": "plug.parts"} for key, name in ROWS.items()},
    "ops": {"doubled": {"target": "plug.parts:doubled", "plugin": "plug.parts"}},
}
CONFIG: dict[str, Any] = {
    "imports": ["plug.parts"],
    "settings": {"allowed_import_prefixes": ["plug."]},
    "run": {"name": "a", "seed": 1, "out_dir": "runs/a"},
    "model": {"layers": [{"_type_": "my.part", "x": 1, "y": 2}, {"call": "op:doubled"}]},
    "loss": {"weights": [1, 2], "kind": {"_target_": "plug.parts.Part"}},
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plug").mkdir()
    for name, text in (("__init__", ""), ("parts", PARTS), ("helper", HELPER), ("quiet", "VALUE = 1\n")):
        (tmp_path / "plug" / f"{name}.py").write_text(text)
    (tmp_path / "plug/loud.py").write_text("print(end='')\n")
    return tmp_path


def config_with(**sections: Any) -> dict[str, Any]:
    return {**copy.deepcopy(CONFIG), **sections}


def definition(root: Path, config: dict[str, Any] = CONFIG, files: tuple[str, ...] = ()) -> str:
    code = code_behind(config, listed_in(MANIFEST), fingerprints(root))
    stamps = {name: identify(name, root) for name in files}
    return define(config, code, {name: {"sha256": s.sha256, "size": s.size} for name, s in stamps.items()}, root)


def edit(root: Path, name: str, old: str, new: str) -> None:
    path = root / "plug" / f"{name}.py"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


def test_the_order_of_sections_does_not_count(root: Path) -> None:
    assert definition(root, dict(reversed(CONFIG.items()))) == definition(root)


@pytest.mark.parametrize(
    "sections",
    [
        {"loss": {"kind": {"_target_": "plug.parts.Part"}, "weights": [1, 2]}},
        {"loss": {"weights": [2, 1], "kind": {"_target_": "plug.parts.Part"}}},
        {"model": {"layers": [{"_type_": "my.part", "y": 2, "x": 1}, {"call": "op:doubled"}]}},
        {"model": {"layers": [{"call": "op:doubled"}, {"_type_": "my.part", "x": 1, "y": 2}]}},
    ],
    ids=["keys of a section", "items of a list", "arguments of a part", "layers"],
)
def test_the_order_inside_a_section_counts(root: Path, sections: dict[str, Any]) -> None:
    """It decides in which order weights are made and numbers drawn."""
    assert definition(root, config_with(**sections)) != definition(root)


@pytest.mark.parametrize(
    "sections",
    [
        {"run": {**CONFIG["run"], "seed": 2}},
        {"run": {**CONFIG["run"], "seed": 1.0}},
        {"run": {**CONFIG["run"], "seed": True}},
        {"run": {**CONFIG["run"], "device": "cuda"}},
        {"run": {**CONFIG["run"], "deterministic": 0}},
        {"loss": None},
        {"scheduler": {}},
        {"callbacks": [None]},
        {"data": {"path": "runs/a/data.npy"}},
    ],
    ids=["a seed", "its type", "a truth for it", "a device", "a zero for no", "no loss", "empty", "a null", "a path"],
)
def test_every_value_counts(root: Path, sections: dict[str, Any]) -> None:
    assert definition(root, config_with(**sections)) != definition(root)


@pytest.mark.parametrize(
    "sections",
    [
        {"params": {"note": "first try"}},
        {"blocks": {"note": "first try"}},
        {"run": {**CONFIG["run"], "name": "b"}},
        {"run": {"out_dir": "runs/a", "seed": 1, "name": "a"}},
        {"run": {**CONFIG["run"], "device": "cpu", "precision": "fp32", "deterministic": False}},
        {"run": {**CONFIG["run"], "device": None, "resume_from": None}},
        {"scheduler": None},
        {"scheduler": None, "callbacks": None, "loggers": [], "metrics": []},
    ],
    ids=["params", "a section of values", "a name", "keys of run", "defaults", "nulls", "no scheduler", "no parts"],
)
def test_what_nothing_reads_and_what_is_so_anyhow_do_not_count(root: Path, sections: dict[str, Any]) -> None:
    assert definition(root, config_with(**sections)) == definition(root)


def in_folder(folder: str, **run: Any) -> dict[str, Any]:
    """A config in which paths lead into the run's folder, as interpolation writes them."""
    return config_with(
        run={**CONFIG["run"], "out_dir": folder, **run},
        callbacks=[{"_type_": "my.part", "save_dir": f"{folder}/checkpoints", "list": [folder, f"{folder}/x"]}],
        loggers=[{"_type_": "my.part", "_kwargs_": {"path": f"{folder}/rows.jsonl"}}],
    )


@pytest.mark.parametrize("folder", ["runs/b", "elsewhere/deep/a", "/srv/runs/a", "runs/a/", "runs/é"])
def test_where_a_run_lies_does_not_count_nor_do_paths_into_it(root: Path, folder: str) -> None:
    assert definition(root, in_folder(folder, name="b")) == definition(root, in_folder("runs/a"))


@pytest.mark.parametrize("folder", ["runs/a2", "a", "runs", "other/a"])
def test_a_path_that_does_not_lead_into_the_runs_folder_counts(root: Path, folder: str) -> None:
    """One that only begins alike, or is a word that the folder is called by, is none."""
    config = in_folder("runs/a")
    config["loggers"][0]["_kwargs_"]["path"] = f"{folder}-rows.jsonl"
    moved = config_with(**{**config, "run": {**config["run"], "out_dir": folder}})

    assert definition(root, moved) != definition(root, config)
    assert definition(root, config_with(run={"name": "a", "out_dir": "relu"}, loss={"act": "relu"})) != definition(
        root, config_with(run={"name": "a", "out_dir": "tanh"}, loss={"act": "tanh"})
    )


def test_a_checkpoint_in_the_runs_own_folder_moves_with_it(root: Path) -> None:
    own = [in_folder(folder, resume_from=f"{folder}/checkpoints/last.pt") for folder in ("runs/a", "runs/b")]

    assert definition(root, own[0]) == definition(root, own[1]) != definition(root, in_folder("runs/a"))


def test_nan_is_nan(root: Path) -> None:
    """Read from YAML, from an artifact or made anew: it never equals itself in Python."""
    config = config_with(loss={"fill": float("nan"), "list": [float("nan")]})
    read = from_json(canonical_json(config))
    other = config_with(loss={"fill": 0.0, "list": [float("nan")]})

    assert definition(root, config) == definition(root, read) != definition(root, other)
    assert Compared(config, read).counting() == Compared(config, read).idle() == []
    assert [change.new_path for change in Compared(config, other).counting()] == [("loss", "fill")]


PROMISES = {"my.part": {"workers": ["set"], "quiet": []}, "my.beside": {"*": []}}
LOADER = {"_type_": "my.part", "set": {"_type_": "my.set", "how": {"_type_": "my.beside"}}, "workers": 1, "size": 4}


def promised(root: Path, data: Any, **facts: Any) -> str:
    """The definition of a config whose data have a part with promises and a data set, of which `facts` are known."""
    modules = {key: {**row, "without_effect": PROMISES[key]} for key, row in MANIFEST["modules"].items()}
    a_set = {"target": "plug.helper:used", "plugin": "plug.parts", "indexed": True, **facts}
    rows = {**MANIFEST, "modules": {**modules, "my.set": {name: a_set[name] for name in a_set if a_set[name]}}}
    modules["my.part"]["signature"] = "(set, workers=0, size=1, quiet=False, limit=None, *, how=None, most=9)"
    config = config_with(data=data)
    return define(config, code_behind(config, listed_in(rows), fingerprints(root)), {}, root)


@pytest.mark.parametrize(
    "change",
    [
        {"workers": 2},
        {"quiet": True},
        {"_kwargs_": {"quiet": True}},
        {"_kwargs_": {}, "_args_": []},
        {"_args_": None},
        {"limit": None},
        {"_kwargs_": {"how": None}},
        {"extra": [{"_type_": "my.beside"}]},
    ],
)
def test_arguments_without_effect_do_not_count_however_they_are_given(root: Path, change: dict[str, Any]) -> None:
    """Nor does null for what is None anyhow, nor a whole component that is declared so."""
    before = {**LOADER, "extra": []} if "extra" in change else LOADER

    assert promised(root, {**LOADER, **change}) == promised(root, before)


@pytest.mark.parametrize(
    "change", [{"size": 5}, {"most": None}, {"set": None}, {"_args_": [2]}, {"_kwargs_": {"x": 1}}]
)
def test_all_other_arguments_count(root: Path, change: dict[str, Any]) -> None:
    """Null too, where the argument is something else by itself."""
    assert promised(root, {**LOADER, **change}) != promised(root, LOADER)


@pytest.mark.parametrize(
    ("loader", "facts"),
    [
        (LOADER, {"indexed": False}),
        ({**LOADER, "set": {"_target_": "plug.parts.Part"}}, {}),
        ({**LOADER, "set": {"_type_": "my.set", "how": {"_target_": "plug.parts.Part"}}}, {}),
        ({**LOADER, "set": [1, 2]}, {}),
        ({**LOADER, "_args_": [{"_type_": "my.set"}]}, {}),
    ],
    ids=["not by index", "a target", "a target in it", "no spec", "given by place"],
)
def test_a_promise_holds_where_its_condition_is_known_to(root: Path, loader: Any, facts: dict[str, Any]) -> None:
    assert promised(root, {**loader, "workers": 2}, **facts) != promised(root, loader, **facts)
    assert promised(root, {**loader, "quiet": True}, **facts) == promised(root, loader, **facts)


def test_a_promise_about_workers_does_not_hold_where_code_asks_which_worker_it_is_in(root: Path) -> None:
    edit(root, "helper", "    return SIZE\n", "    return torch.utils.data.get_worker_info()\n")

    assert promised(root, {**LOADER, "workers": 2}) != promised(root, LOADER)


@pytest.mark.parametrize(
    "code", ["run.config", "ctx.run.config['params']", "run['config']", "vars(run)['config']", "getattr(run, 'config')"]
)
def test_where_code_may_read_the_whole_config_all_of_it_counts(root: Path, code: str) -> None:
    edit(root, "helper", "    return SIZE\n", f"    return {code}\n")
    sections = ({"params": {"note": 1}}, {"run": {**CONFIG["run"], "name": "b"}}, {"scheduler": None})

    assert len({definition(root), *(definition(root, config_with(**each)) for each in sections)}) == 4


@pytest.mark.parametrize("code", ["self.config", "self.configs", "config", "configure(config=1)", "'configured'"])
def test_a_word_that_is_no_way_to_the_config_lets_nothing_more_count(root: Path, code: str) -> None:
    edit(root, "helper", "    return SIZE\n", f"    return {code}\n")

    assert definition(root, config_with(params={"note": 1})) == definition(root)


@pytest.mark.parametrize(
    "sections",
    [
        {"settings": {"allowed_import_prefixes": ["plug.", "other."], "strict": True}},
        {"settings": None},
        {"imports": ["plug.parts", "plug.quiet"]},
        {"imports": ["plug.quiet", "plug.parts"]},
        {"imports": ["plug.parts", "plug.parts"]},
    ],
    ids=["settings", "no settings", "a quiet plugin", "a quiet one first", "one twice"],
)
def test_what_is_allowed_and_what_is_listed_do_not_count_by_themselves(root: Path, sections: dict[str, Any]) -> None:
    assert definition(root, config_with(**sections)) == definition(root)


def test_a_plugin_that_acts_when_imported_counts_and_so_does_its_place(root: Path) -> None:
    (root / "plug/louder.py").write_text("print(end='')\n")
    orders = (["plug.parts"], ["plug.parts", "plug.loud"], ["plug.louder", "plug.loud"], ["plug.loud", "plug.louder"])

    assert len({definition(root, config_with(imports=list(order))) for order in orders}) == 4


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("parts", "value = 1", "value = 2"),
        ("parts", '"""Parts."""', '"""All parts."""'),
        ("parts", "return 2 * x", "return 2 * x  # twice"),
        ("parts", '"my.beside", Beside', '"my.beside", Part'),
        ("helper", "SPARE = 1", "SPARE = 2"),
        ("quiet", "VALUE = 1", "VALUE = 2"),
    ],
)
def test_code_that_is_not_used_does_not_count(root: Path, name: str, old: str, new: str) -> None:
    config = config_with(imports=["plug.parts", "plug.quiet"])
    before = definition(root, config)
    edit(root, name, old, new)

    assert definition(root, config) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("parts", "return helper.used()", "return -helper.used()"),
        ("parts", "return 2 * x", "return 3 * x"),
        ("parts", '"my.part", Part', '"my.part", Beside'),
        ("parts", "from . import helper", "from . import helper, loud"),
        ("helper", "SIZE = 1", "SIZE = 2"),
    ],
)
def test_code_that_is_used_counts(root: Path, name: str, old: str, new: str) -> None:
    before = definition(root)
    edit(root, name, old, new)

    assert definition(root) != before


@pytest.mark.parametrize("target", ["plug.parts.Part", "plug.parts.Part.made"])
def test_the_code_behind_a_target_counts(root: Path, target: str) -> None:
    """Also where something of a class is asked for."""
    config = config_with(model={"_target_": target}, loss={}, imports=[])
    before = definition(root, config)
    edit(root, "parts", "value = 1", "value = 2")
    beside = definition(root, config)
    edit(root, "parts", "return cls()", "return cls")

    assert beside == before
    assert definition(root, config) != before


def test_what_puts_an_experiment_together_is_a_row_of_its_own(root: Path) -> None:
    rows = code_behind(CONFIG, listed_in(MANIFEST), fingerprints(root))

    assert [row["key"] for row in rows] == ["otrainer", "my.part", "op:doubled", "plug.parts.Part"]
    assert rows[0]["target"] == COMPOSITION_ROOT
    assert [row["plugin"] for row in rows] == [None, "plug.parts", "plug.parts", None]


def test_params_and_settings_name_no_code_and_what_only_looks_so_neither() -> None:
    config = {
        "params": {"_type_": "my.part"},
        "settings": {"_type_": "my.part"},
        "loss": {"type": "optim_cls.Adam", "call": "me", "params": {"_type_": "my.part"}, "_type_": 3},
        "model": [{"type": "plain", "call": "op:add"}],
    }

    assert list(keys_in(config)) == [
        (("loss", "type"), "type", "optim_cls.Adam"),
        (("loss", "params", "_type_"), "_type_", "my.part"),
        (("model", 0, "call"), "call", "op:add"),
    ]


def test_data_counts_by_content_and_name_and_not_by_time(root: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (root / name).write_text("1 2 3")
    before = definition(root, files=("a.txt", "b.txt"))
    os.utime(root / "a.txt", ns=(10**18, 10**18))

    assert definition(root, files=("a.txt", "b.txt")) == definition(root, files=("b.txt", "a.txt")) == before
    assert definition(root, files=("a.txt",)) != before
    (root / "c.txt").write_text("1 2 3")
    assert definition(root, files=("a.txt", "c.txt")) != before
    (root / "b.txt").write_text("1 2 4")
    assert definition(root, files=("a.txt", "b.txt")) != before


def test_a_checkpoint_to_start_from_counts_by_its_content(root: Path) -> None:
    def started(path: str) -> str:
        return definition(root, config_with(run={**CONFIG["run"], "resume_from": path}))

    (root / "elsewhere").mkdir()
    for name in ("first.pt", "elsewhere/second.pt"):
        (root / name).write_bytes(b"weights")
    before = started("first.pt")

    assert started("elsewhere/second.pt") == started(str(root / "first.pt")) == before != definition(root)
    (root / "first.pt").write_bytes(b"others")
    assert started("first.pt") != before
    with pytest.raises(FileNotFoundError):
        started("third.pt")


@pytest.mark.parametrize("path", ["runs/a/checkpoints/last.pt", "runs/b/../a/checkpoints/last.pt"])
def test_a_checkpoint_of_the_run_itself_counts_by_its_path(root: Path, path: str) -> None:
    """Training writes it, so its content cannot define what is trained; it need not be there yet."""
    config = config_with(run={**CONFIG["run"], "resume_from": path})
    before = definition(root, config)
    (root / "runs/a/checkpoints").mkdir(parents=True)
    (root / "runs/b").mkdir()
    (root / "runs/a/checkpoints/last.pt").write_bytes(b"weights")

    assert definition(root, config) == before


def test_outdated_rows_are_named(root: Path) -> None:
    rows = code_behind(CONFIG, listed_in(MANIFEST), fingerprints(root))
    assert outdated(rows, fingerprints(root)) == []
    edit(root, "parts", "return 2 * x", "return 3 * x")

    assert outdated(rows, fingerprints(root)) == ["op:doubled"]


def test_the_detail_tells_what_each_row_is_made_of(root: Path) -> None:
    rows = code_behind(CONFIG, listed_in(MANIFEST), fingerprints(root))
    found = detail(rows, fingerprints(root))

    assert found["roots"]["my.part"] == ["plug.parts:Part", "plug.parts:register[my.part]"]
    assert "plug.helper:SIZE" in found["symbols"]
    assert "plug.helper:SIZE" in found["uses"]["plug.helper:used"]
    assert "plug.helper:SPARE" not in found["symbols"]


def test_a_definition_is_the_same_in_every_process(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[1:]; import test_definition as t; "
        "print(t.definition(Path(sys.argv[2])), 'torch' in sys.modules)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent), str(root)],
            capture_output=True,
            text=True,
            check=True,
            cwd=cwd,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed, cwd in (("1", root), ("2", root.parent))
    }

    assert found == {f"{definition(root)} False\n"}


@pytest.mark.parametrize(
    "name", ["plug.helper.used", "plug.helper:used", "plug.helper", "plug.helper.SIZE", "plug.helper.used.__call__"]
)
def test_what_a_dotted_name_in_the_config_names_counts(root: Path, name: str) -> None:
    """Whoever gets it imports it: in the middle of a list, and as an argument of what does not reach it otherwise."""
    config = config_with(model={}, loss={"parts": [{"from": name}]}, imports=[])
    before = definition(root, config)
    edit(root, "helper", "SIZE = 1", "SIZE = 2")

    assert definition(root, config) != before


@pytest.mark.parametrize(
    "name", ["plug.helper.none", "plug.none.used", "helper.used", "used", "json.loads", "a plug.helper"]
)
def test_what_only_looks_like_a_dotted_name_counts_as_text(root: Path, name: str) -> None:
    config = config_with(model={}, loss={"part": name}, imports=[])
    before = definition(root, config)
    edit(root, "helper", "SIZE = 1", "SIZE = 2")

    assert definition(root, config) == before


def test_what_a_dotted_name_does_not_reach_does_not_count(root: Path) -> None:
    config = config_with(model={}, loss={"part": "plug.helper.used"}, imports=[])
    before = definition(root, config)
    edit(root, "helper", "SPARE = 1", "SPARE = 2")

    assert definition(root, config) == before


def test_a_process_keeps_one_look_at_edited_sources_until_the_next_edit(root: Path) -> None:
    """Whoever asks `why` a thousand times in a notebook gathers no thousand looks of some megabytes each."""
    look(root).modules(["plug.quiet"])
    seen = [fingerprints(root)]
    for text in ("ONE = 1\n", "TWO = 2\n"):
        (root / "plug/quiet.py").write_text(text)
        first, again = (fingerprints(root) for _ in range(2))
        first.modules(["plug.quiet"])
        assert again is first
        assert fingerprints(root) is first
        assert first not in seen
        seen.append(first)

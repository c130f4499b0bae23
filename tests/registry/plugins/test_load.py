"""`imports:`: what plugins register, and how their failures are told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from otrainer.config import Settings
from otrainer.diagnostics.drawing import draw_error
from otrainer.errors import ConfigError
from otrainer.registry import Registry, build_registry, instantiate_value, load_plugins

SETTINGS = Settings(allowed_import_prefixes=("plug.",))


@pytest.fixture
def plug(tmp_path, monkeypatch):
    """Writes a module of the package `plug`, which is forgotten again when the test ends."""
    (tmp_path / "plug").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> str:
        (tmp_path / "plug" / f"{name}.py").write_text(text)
        return f"plug.{name}"

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "plug"]:
        del sys.modules[name]


def load(*names, registry=None, settings=SETTINGS):
    return load_plugins(list(names), registry=registry or Registry(), settings=settings)


def error_of(*names, **kwargs) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(*names, **kwargs)
    return caught.value


GOOD = (
    "class C:\n    def on_fit_end(self, ctx): ...\n\ndef register(registry):\n    registry.register_module('cb.c', C)\n"
)


def test_a_plugin_registers_and_its_entries_know_their_line(plug):
    registry = Registry()
    (module,) = load(plug("good", GOOD), registry=registry)
    assert registry.get_module("cb.c").target is module.C
    assert registry.get_module("cb.c").origin == "plug/good.py:5"


def test_the_working_directory_stays_whatever_a_plugin_does(plug, tmp_path):
    """When it is imported, when it registers, when one of its components is built, and where it fails."""
    away = "import os\nos.chdir('/')\n"
    key = "registry.register_module('cb.away', lambda: os.chdir('/'))"
    text = f"{away}def register(registry):\n    os.chdir('/')\n    {key}\n"
    registry = Registry()
    load(plug("away", text), registry=registry)
    assert Path.cwd() == tmp_path
    instantiate_value([{"_type_": "cb.away"}], registry=registry)
    assert Path.cwd() == tmp_path
    error_of(plug("fails", f"{away}1 / 0\n"))
    assert Path.cwd() == tmp_path


def test_a_new_registry_asks_an_imported_plugin_again_and_the_same_registry_does_not(plug):
    name, first, second = plug("good", GOOD), Registry(), Registry()
    load(name, registry=first)
    load(name, registry=first)
    load(name, registry=second)
    assert first.list_modules() == second.list_modules() == ["cb.c"]


def test_a_plugin_that_is_listed_twice_is_an_error_where_it_comes_again(plug):
    name = plug("good", GOOD)
    assert error_of(name, name).config_path == ("imports", 1)


def test_a_module_without_register_is_just_imported(plug):
    (module,) = load(plug("quiet", "value = 3\n"))
    assert module.value == 3


def test_no_imports_are_fine():
    assert load_plugins(None, registry=Registry(), settings=SETTINGS) == []
    assert load_plugins([], registry=Registry(), settings=Settings(allow_imports=False)) == []


def test_entries_are_checked_together_before_anything_is_imported(plug):
    plug("good", "raise SystemError('imported')")
    error = error_of("plug.good", "plugs.good", 3, "plug/good.py", "plug_evil")
    assert [(finding.config_path, finding.suggestions) for finding in error.findings] == [
        (("imports", 1), ("plug.good",)),
        (("imports", 2), ()),
        (("imports", 3), ()),
        (("imports", 4), ()),
    ]
    assert "plug.good" not in sys.modules


@pytest.mark.parametrize("imports", ["plug.good", {"a": 1}, 3])
def test_imports_must_be_a_list(imports):
    with pytest.raises(ConfigError, match="a list of module names"):
        load_plugins(imports, registry=Registry(), settings=SETTINGS)


def test_imports_can_be_switched_off(plug):
    error = error_of(plug("good", GOOD), settings=Settings(allow_imports=False, allowed_import_prefixes=("plug.",)))
    assert error.config_path == ("imports",)
    assert "The settings allow no imports." in str(error)


def test_a_missing_module_suggests_its_neighbours(plug):
    plug("my_plugin", "")
    error = error_of("plug.my_plugn")
    assert error.suggestions == ["plug.my_plugin"]
    assert error.config_path == ("imports", 0)


def test_a_missing_package_says_where_plugins_are_looked_for():
    error = error_of("no_such_package.x", settings=Settings(allowed_import_prefixes=("no_such_package",)))
    assert "There is no module `no_such_package`" in str(error)


def test_an_exception_is_told_at_the_users_own_line_with_the_plugins_name(plug):
    text = "import json\n\ndef load():\n    return json.loads('{')\n\nload()\n"
    error = error_of(plug("broken", text))
    assert draw_error(error) == (
        "plugin failed ── plug/broken.py:4:12\n"
        "  3 | def load():\n"
        "  4 |     return json.loads('{')\n"
        "    |            ^^^^^^^^^^^^\n"
        "  The plugin `plug.broken` failed when imported: JSONDecodeError: Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1)\n"
        "  Mend that line of the plugin, or take it out of `imports`."
    )
    assert isinstance(error.__cause__, ValueError)


def test_a_syntax_error_is_told_where_python_stops(plug):
    error = error_of(plug("typo", "def f(:\n    pass\n"))
    assert str(error.location) == "plug/typo.py:1:7"
    assert "SyntaxError: invalid syntax" in str(error)


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("import not_there_at_all\n", "No module named 'not_there_at_all'", 1),
        ("import plug.helper\n", "ZeroDivisionError", None),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3", 2),
        ("def register(registry):\n    registry.regsiter_module('a', dict)\n", "AttributeError", 2),
        ("def register(registry):\n    raise KeyError\n", "KeyError", 2),
    ],
)
def test_whatever_a_plugin_raises_is_told(plug, text, words, line):
    plug("helper", "x = 1\n1 / 0\n")
    error = error_of(plug("bad", text))
    assert words in str(error)
    assert "`plug.bad`" in str(error)
    place = f"plug/bad.py:{line}:" if line else "plug/helper.py:2:"
    assert str(error.location).startswith(place)


def test_a_register_that_does_not_take_the_registry_is_told(plug):
    assert "`register` of the plugin `plug.a`" in str(error_of(plug("a", "def register(): ...\n")))
    assert "cannot be called with the registry" in str(error_of(plug("b", "register = 3\n")))


def test_failures_of_several_plugins_come_together(plug):
    error = error_of(plug("one", "1 / 0\n"), plug("two", "import nowhere_at_all\n"), "plug.three")
    assert [finding.title for finding in error.findings] == ["plugin failed", "plugin failed", "unknown plugin"]


def test_a_taken_key_is_told_with_both_places(plug):
    error = error_of(plug("good", GOOD), plug("other", GOOD))
    assert draw_error(error) == (
        "duplicate registration ── plug/other.py:5:5\n"
        "  4 | def register(registry):\n"
        "  5 |     registry.register_module('cb.c', C)\n"
        "    |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  The key `cb.c` is taken: it was registered at plug/good.py:5.\n"
        "  Choose another name."
    )
    taken = "def register(registry):\n    registry.register_module('nn.Linear', dict)\n"
    assert "it is built in" in str(error_of(plug("third", taken), registry=build_registry()))


OTHERS = """
from otrainer.registry.entries import ModuleEntry

def evil(*given, **named):
    raise SystemError
def new(name):
    return ModuleEntry(name, evil)
def register(registry):
    {body}
"""
BY_HAND = "The keys of a registry are not changed by hand."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("registry._modules['nn.Linear'] = new('nn.Linear')", "The key `nn.Linear` is taken: it is built in."),
        ("registry._modules['cb.c'] = new('cb.c')", "The key `cb.c` is taken: it was registered at plug/good.py:5."),
        ("registry._modules['cb.new'] = new('cb.new')", BY_HAND),
        ("registry._modules.update(add=evil)", BY_HAND),
        ("del registry._modules['cb.c']", BY_HAND),
        ("registry._modules |= {}", BY_HAND),
        ("registry._modules.pop('cb.c')", BY_HAND),
        (
            "dict.__setitem__(registry._modules, 'cb.c', new('cb.c'))",
            "replaced the key `cb.c`, which was registered at",
        ),
        ("dict.pop(registry._modules, 'cb.c')", "removed the key `cb.c`, which was registered at plug/good.py:5."),
        ("dict.pop(registry._ops, 'add')", "removed the op `add`, which is built in."),
        (
            "registry._modules = {**registry._modules, 'nn.ReLU': new('nn.ReLU')}",
            "replaced the key `nn.ReLU`, which is",
        ),
        ("object.__setattr__(registry._modules['nn.ReLU'], 'factory', evil)", "replaced the key `nn.ReLU`, which is"),
        ("object.__setattr__(registry._ops['mul'], 'factory', evil)", "replaced the op `mul`, which is built in."),
        (
            "registry.registering = 'plug.good'; registry.register_op('a', evil)",
            "the op `a` in the name of `plug.good`.",
        ),
    ],
)
def test_whoever_reaches_into_the_registry_is_found_out_with_both_places(plug, body, words):
    error = error_of(plug("good", GOOD), plug("meddler", OTHERS.format(body=body)), registry=build_registry())
    (finding,) = error.findings
    assert words in finding.message
    assert (finding.location.file, finding.location.line) in (("plug/meddler.py", 8), ("plug/meddler.py", 9))
    assert build_registry().get_module("nn.ReLU").factory == "torch.nn:ReLU"


def test_a_misspelt_hook_is_told_when_the_plugin_arrives(plug):
    error = error_of(plug("hooks", GOOD.replace("on_fit_end", "on_epoch_ends")))
    assert draw_error(error) == (
        "invalid component ── plug/hooks.py:5:5\n"
        "  4 | def register(registry):\n"
        "  5 |     registry.register_module('cb.c', C)\n"
        "    |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  `cb.c`: `C.on_epoch_ends` is never called: no trainer knows it. Did you mean `on_epoch_end` or "
        "`on_train_epoch_end` or `on_epoch_start`?\n"
        "  A callback may define on_fit_start, on_epoch_start, on_train_batch_end, on_before_optimizer_step, "
        "on_train_step_end, on_validation_start, on_validation_end, on_train_epoch_end, on_epoch_end, on_save, "
        "on_load, on_exception, on_fit_end."
    )


def test_the_documents_plugin_registers_as_it_stands(plug):
    """Classes in the shapes of the user's document: dataclasses with keyword-only methods and extra helpers."""
    text = Path(__file__).with_name("document_plugin.txt").read_text()
    registry = build_registry()
    load(plug("document", text), registry=registry)
    assert {"data.my_data", "io.my_io", "loss.my_loss", "cb.print_epoch", "log.jsonl"} <= set(registry.list_modules())

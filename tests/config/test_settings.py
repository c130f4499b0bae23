"""The parts that the resolver itself asks for: `schema_version`, `model`, `settings` and `imports`."""

from __future__ import annotations

from dataclasses import fields

import pytest

from otrainer.config import Settings, module_allowed
from otrainer.config.settings import SETTINGS

from .config_project import HEAD, Project


def test_left_out_settings_have_their_defaults(project: Project):
    assert project.resolve(HEAD).settings == Settings(True, True, False, ("otrainer.", "extensions."))
    assert project.resolve(HEAD + "settings:\n").settings == Settings()


def test_settings_are_read(project: Project):
    text = "settings: {strict: false, allow_imports: false, allow_target: true, allowed_import_prefixes: [a., b.c]}\n"
    assert project.resolve(HEAD + text).settings == Settings(False, False, True, ("a.", "b.c"))
    assert project.resolve(HEAD + "settings: {allowed_import_prefixes: []}\n").settings.allowed_import_prefixes == ()
    assert project.resolve(HEAD + "settings: {track_packages: [numpy]}\n").settings.track_packages == ("numpy",)


def test_settings_are_read_after_merging_and_expressions(project: Project):
    config = project.resolve(
        HEAD + "defaults: [base.yaml]\nsettings: {allow_target: '${env:bool:T}'}\n",
        base="settings: {strict: false}\n",
        env={"T": "yes"},
    )
    assert (config.settings.strict, config.settings.allow_target) == (False, True)


@pytest.mark.parametrize(
    ("settings", "path", "place"),
    [
        ("[strict]", ("settings",), "exp.yaml:3:11"),
        ("true", ("settings",), "exp.yaml:3:11"),
        ("{strct: true}", ("settings", "strct"), "exp.yaml:3:12"),
        ("{strict: 1}", ("settings", "strict"), "exp.yaml:3:20"),
        ("{strict: 'true'}", ("settings", "strict"), "exp.yaml:3:20"),
        ("{allow_target: null}", ("settings", "allow_target"), "exp.yaml:3:26"),
        ("{allow_imports: [true]}", ("settings", "allow_imports"), "exp.yaml:3:27"),
        ("{allowed_import_prefixes: a.}", ("settings", "allowed_import_prefixes"), "exp.yaml:3:37"),
        ("{allowed_import_prefixes: null}", ("settings", "allowed_import_prefixes"), "exp.yaml:3:37"),
        ("{allowed_import_prefixes: [a., 3]}", ("settings", "allowed_import_prefixes", 1), "exp.yaml:3:42"),
        ("{allowed_import_prefixes: ['']}", ("settings", "allowed_import_prefixes", 0), "exp.yaml:3:38"),
        ("{allowed_import_prefixes: [.]}", ("settings", "allowed_import_prefixes", 0), "exp.yaml:3:38"),
        ("{allowed_import_prefixes: ['a..b']}", ("settings", "allowed_import_prefixes", 0), "exp.yaml:3:38"),
        ("{allowed_import_prefixes: ['a/b']}", ("settings", "allowed_import_prefixes", 0), "exp.yaml:3:38"),
        ("{track_packages: numpy}", ("settings", "track_packages"), "exp.yaml:3:28"),
        ("{track_packages: [numpy, 'a/b']}", ("settings", "track_packages", 1), "exp.yaml:3:36"),
    ],
)
def test_settings_are_strict(project: Project, settings, path, place):
    error = project.error(f"{HEAD}settings: {settings}\n")
    assert [(finding.config_path, str(finding.location)) for finding in error.findings] == [(path, place)]
    assert error.findings[0].hint


def test_an_unknown_setting_suggests_the_nearest(project: Project):
    assert project.error(HEAD + "settings: {alow_imports: true}\n").suggestions[0] == "allow_imports"


@pytest.mark.parametrize("version", ["2", "1.0", "true", "'1'", "null", "[1]", "{a: 1}", "0"])
def test_schema_version_is_the_integer_1(project: Project, version):
    error = project.error(f"schema_version: {version}\nmodel: {{}}\n")
    assert (error.config_path, str(error.location)) == (("schema_version",), "exp.yaml:1:17")
    assert len(error.findings) == 1


def test_schema_version_and_model_are_required(project: Project):
    error = project.error("# a comment\nschema_versoin: 1\nmodle: {}\n")
    assert [(finding.title, finding.suggestions) for finding in error.findings] == [
        ("missing schema_version", ("schema_versoin",)),
        ("missing model", ("modle",)),
    ]
    assert {str(finding.location) for finding in error.findings} == {"exp.yaml:2:1"}


@pytest.mark.parametrize("model", ["null", "mlp", "[1]", "3"])
def test_model_is_a_mapping(project: Project, model):
    error = project.error(f"schema_version: 1\nmodel: {model}\n")
    assert (error.config_path, str(error.location)) == (("model",), "exp.yaml:2:8")


def test_imports_are_module_names(project: Project):
    assert project.data("imports: [extensions.my_plugin, a]\n") == {"imports": ["extensions.my_plugin", "a"]}
    assert project.data("imports: []\n") == {"imports": []}
    assert project.data("imports:\n") == {"imports": None}


@pytest.mark.parametrize(
    ("imports", "path"),
    [
        ("extensions.a", ("imports",)),
        ("{a: 1}", ("imports",)),
        ("[3]", ("imports", 0)),
        ("[a, null]", ("imports", 1)),
        ("[extensions/a.py]", ("imports", 0)),
        ("['a b']", ("imports", 0)),
        ("[a.]", ("imports", 0)),
        ("['']", ("imports", 0)),
        ("[[a]]", ("imports", 0)),
    ],
)
def test_other_imports_are_an_error(project: Project, imports, path):
    error = project.error(f"{HEAD}imports: {imports}\n")
    assert [finding.config_path for finding in error.findings] == [path]


def test_a_list_of_imports_is_resolved_as_it_is(project: Project):
    """Whether one stands there twice is asked where they are imported."""
    text = "defaults: [base.yaml]\nimports: {_merge_: append, _value_: [a]}\n"
    assert project.data(text, base="imports: [a]\n") == {"imports": ["a", "a"]}


def test_everything_is_reported_together_and_a_broken_expression_only_once(project: Project):
    error = project.error(
        "schema_version: 2\nmodel: ${nowhere}\nsettings: {strict: '${gone}', x: 1}\n"
        "imports: ['${lost}', 3]\nrun: ${missing}\n"
    )
    assert [finding.config_path for finding in error.findings] == [
        ("schema_version",),
        ("model",),
        ("settings", "strict"),
        ("settings", "x"),
        ("imports", 0),
        ("imports", 1),
        ("run",),
    ]
    assert error.partial.settings == Settings()
    assert error.partial.data["run"] == "${missing}"


@pytest.mark.parametrize(
    ("name", "prefixes", "allowed"),
    [
        ("extensions.a", ["extensions."], True),
        ("extensions.a", ["extensions"], True),
        ("extensions", ["extensions."], True),
        ("extensions", ["extensions"], True),
        ("extensions_evil", ["extensions."], False),
        ("extensions_evil", ["extensions"], False),
        ("extensions_evil.a", ["extensions"], False),
        ("ext", ["extensions."], False),
        ("a.b.c", ["a.b"], True),
        ("a.bc", ["a.b."], False),
        ("x", ["a.", "x"], True),
        ("anything", [], False),
        ("anything", ["", "."], False),
    ],
)
def test_prefixes_match_whole_dotted_parts(name, prefixes, allowed):
    assert module_allowed(name, prefixes) is allowed


def test_every_setting_is_in_the_table_that_is_parsed_and_offered_by_editors():
    assert list(SETTINGS) == [field.name for field in fields(Settings)]

"""How each kind of mistake is drawn, to the letter."""

from __future__ import annotations

from .config_project import HEAD, Project

ENV = {"SEED": "eight"}


def test_a_tab(project: Project):
    assert (
        project.drawn("run:\n\tname: x\n", env=ENV)
        == """
invalid YAML ── exp.yaml:2:1
  1 | run:
  2 |     name: x
    | ^^^^
  A tab is used for indentation.
  Indent with spaces.
"""
    )


def test_a_second_colon(project: Project):
    assert (
        project.drawn("run: a: b\n", env=ENV)
        == """
invalid YAML ── exp.yaml:1:7
  1 | run: a: b
    |       ^
  A second `: ` stands on this line.
  Put text that holds `: ` in quotes, or start a new line.
"""
    )


def test_a_missing_colon(project: Project):
    assert (
        project.drawn("run\nmodel: {}\n", env=ENV)
        == """
invalid YAML ── exp.yaml:2:6
  1 | run
  2 | model: {}
    |      ^
  This line continues the text of a line before it, so its `:` ends no key.
  Check that line: it lacks a `:`, or the two differ in indentation.
"""
    )


def test_an_open_bracket(project: Project):
    assert (
        project.drawn("run: [1, 2\nmodel: {}\n", env=ENV)
        == """
invalid YAML ── exp.yaml:1:6
  1 | run: [1, 2
    |      ^
  The list that `[` opens is not closed as it should be.
  Add the missing `,` or `]`.
"""
    )


def test_an_open_quote(project: Project):
    assert (
        project.drawn("run: 'x\nmodel: {}\n", env=ENV)
        == """
invalid YAML ── exp.yaml:1:6
  1 | run: 'x
    |      ^^
  This quote is never closed.
  Add the closing quote.
"""
    )


def test_crooked_indentation(project: Project):
    assert (
        project.drawn("run:\n  name: x\n seed: 1\n", env=ENV)
        == """
invalid YAML ── exp.yaml:3:2
  2 |   name: x
  3 |  seed: 1
    |  ^^^^
  This line does not line up with the lines before it.
  Give the entries of one mapping or list the same indentation, and each `key:` a line of its own.
"""
    )


def test_a_character_that_starts_nothing(project: Project):
    assert (
        project.drawn("run: @x\n", env=ENV)
        == """
invalid YAML ── exp.yaml:1:6
  1 | run: @x
    |      ^^
  `@` cannot start a value.
  Put the text in quotes.
"""
    )


def test_an_anchor_without_a_name(project: Project):
    assert (
        project.drawn("pattern: *.txt\n", env=ENV)
        == """
invalid YAML ── exp.yaml:1:10
  1 | pattern: *.txt
    |          ^^^^^
  `*` and `&` start an alias or an anchor, whose name is missing.
  Quote text that starts with `*` or `&`.
"""
    )


def test_a_tag(project: Project):
    assert (
        project.drawn("a: !Foo {x: 1}\n", env=ENV)
        == """
unknown tag ── exp.yaml:1:4
  1 | a: !Foo {x: 1}
    |    ^^^^
  The tag `!Foo` has no meaning here: a config is plain data.
  Leave it out, or use one of `!!str`, `!!int`, `!!float`, `!!bool`, `!!null`, `!!map`, `!!seq` where it fits.
"""
    )


def test_an_empty_file(project: Project):
    assert (
        project.drawn("# nothing\n", env=ENV)
        == """
empty file ── exp.yaml:1:1
  1 | # nothing
    | ^^^^^^^^^
  `exp.yaml` is empty; a config file is a mapping of sections.
  Write sections such as `run:` and `model:` at the left margin.
"""
    )


def test_a_list_at_the_top(project: Project):
    assert (
        project.drawn("- a\n- b\n", env=ENV)
        == """
not a mapping ── exp.yaml:1:1
  1 | - a
    | ^^^
  `exp.yaml` holds a list at its top; a config file is a mapping of sections.
  Write sections such as `run:` and `model:` at the left margin.
"""
    )


def test_duplicate_keys(project: Project):
    assert (
        project.drawn("run: {a: 1,\n  b: 2, a: 3}\nrun: 1\n", env=ENV)
        == """
duplicate key ── exp.yaml:2:9
  1 | run: {a: 1,
  2 |   b: 2, a: 3}
    |         ^
  `a` is given twice in the same mapping.
  first given here: exp.yaml:1:7
  Keep one of the two.

duplicate key ── exp.yaml:3:1
  2 |   b: 2, a: 3}
  3 | run: 1
    | ^^^
  `run` is given twice in the same mapping.
  first given here: exp.yaml:1:1
  Keep one of the two.
"""
    )


def test_keys_that_are_no_strings(project: Project):
    assert (
        project.drawn("a: {1: x, true: y}\n? [b]\n: 1\n", env=ENV)
        == """
key is no string ── exp.yaml:1:5
  1 | a: {1: x, true: y}
    |     ^
  The key `1` is an integer; keys are strings.
  Put it in quotes: `'1':`.

key is no string ── exp.yaml:1:11
  1 | a: {1: x, true: y}
    |           ^^^^
  The key `true` is a boolean; keys are strings.
  Put it in quotes: `'true':`.

key is no string ── exp.yaml:2:3
  1 | a: {1: x, true: y}
  2 | ? [b]
    |   ^
  A mapping or a list stands where a key is expected.
  Write keys as plain words: `name: value`.
"""
    )


def test_a_merge_key(project: Project):
    assert (
        project.drawn("a: &x {b: 1}\nc: {<<: *x}\n", env=ENV)
        == """
merge key ── exp.yaml:2:5
  1 | a: &x {b: 1}
  2 | c: {<<: *x}
    |     ^^
  `<<` does not merge here.
  Use `_template_: NAME` for a tree under `templates:`, or list another file under `defaults:`.
"""
    )


def test_an_unknown_alias(project: Project):
    assert (
        project.drawn("a: &first 1\nb: *frist\n", env=ENV)
        == """
unknown alias ── exp.yaml:2:4
  1 | a: &first 1
  2 | b: *frist
    |    ^^^^^^
  No `&frist` comes before `*frist`. Did you mean `*first`?
  Quote it if it is meant as text.
"""
    )


def test_a_missing_file(project: Project):
    project.write("base/runtime.yaml", "a: 1\n")
    assert (
        project.drawn(HEAD + "defaults:\n  - base/runtim.yaml\n", env=ENV)
        == """
missing file ── exp.yaml:4:5
  3 | defaults:
  4 |   - base/runtim.yaml
    |     ^^^^^^^^^^^^^^^^
  There is no file `base/runtim.yaml`. Did you mean `base/runtime.yaml`?
  Paths in `defaults` are relative to the file that lists them.
"""
    )


def test_a_cycle_of_files(project: Project):
    project.write("one.yaml", "defaults: [two.yaml]\n")
    project.write("two.yaml", "# two\ndefaults:\n  - one.yaml\n")
    assert (
        project.drawn(HEAD + "defaults: [one.yaml]\n", env=ENV)
        == """
include cycle ── two.yaml:3:5
  2 | defaults:
  3 |   - one.yaml
    |     ^^^^^^^^
  included by one.yaml:1:12
  included by exp.yaml:3:12
  `one.yaml` leads back to a file that lists it: one.yaml -> two.yaml -> one.yaml.
  Take one of these entries out of `defaults`.
"""
    )


def test_defaults_that_are_no_list(project: Project):
    project.write("base.yaml", "a: 1\n")
    assert (
        project.drawn(HEAD + "defaults: base.yaml\n", env=ENV)
        == """
defaults is no list ── exp.yaml:3:11
  2 | model: {}
  3 | defaults: base.yaml
    |           ^^^^^^^^^
  `defaults` is a string; it is a list of the files that lie below this one.
  Write `defaults: [base.yaml]`.
"""
    )


def test_an_unknown_merge_mode(project: Project):
    assert (
        project.drawn(HEAD + "imports:\n  _merge_: apend\n  _value_: [a]\n", env=ENV)
        == """
unknown merge mode ── exp.yaml:4:12
  3 | imports:
  4 |   _merge_: apend
    |            ^^^^^
  There is no way to merge called `apend`. Did you mean `append` or `prepend`?
  The modes are `replace`, `append`, `prepend` and `keyed`.
"""
    )


def test_a_base_that_is_no_list(project: Project):
    project.write("base.yaml", "imports: a\n")
    assert (
        project.drawn(HEAD + "defaults: [base.yaml]\nimports: {_merge_: append, _value_: [a]}\n", env=ENV)
        == """
base is no list ── exp.yaml:4:20
  3 | defaults: [base.yaml]
  4 | imports: {_merge_: append, _value_: [a]}
    |                    ^^^^^^
  `_merge_: append` extends a list, but what lies below is a string.
  the value below: base.yaml:1:10
  Use `_merge_: replace`, or make the value below a list.
"""
    )


def test_an_unknown_template(project: Project):
    assert (
        project.drawn(HEAD + "templates: {block: {a: 1}}\nx: {_template_: blok}\n", env=ENV)
        == """
unknown template ── exp.yaml:4:17
  3 | templates: {block: {a: 1}}
  4 | x: {_template_: blok}
    |                 ^^^^
  There is no template `blok`. Did you mean `block`?
  The templates are `block`.
"""
    )


def test_a_cycle_of_templates(project: Project):
    assert (
        project.drawn(HEAD + "templates:\n  a: {_template_: b}\n  b: {_template_: a}\n", env=ENV)
        == """
template cycle ── exp.yaml:5:19
  4 |   a: {_template_: b}
  5 |   b: {_template_: a}
    |                   ^
  The template `a` contains itself: a -> b -> a.
  Take one `_template_` out of the chain.
"""
    )


def test_an_unknown_path(project: Project):
    assert (
        project.drawn(HEAD + "run: {name: n}\nout: runs/${run.nmae}\n", env=ENV)
        == """
unknown path ── exp.yaml:4:11
  3 | run: {name: n}
  4 | out: runs/${run.nmae}
    |           ^^^^^^^^^^^
  There is no `run.nmae`. Did you mean `run.name`?
  Paths start at the top of the config.
"""
    )


def test_a_cycle_of_references(project: Project):
    assert (
        project.drawn(HEAD + "a: ${b}\nb: x${a}\n", env=ENV)
        == """
reference cycle ── exp.yaml:3:4
  2 | model: {}
  3 | a: ${b}
    |    ^^^^
  `a` refers back to itself: a -> b -> a.
  Give one of them a value of its own.

reference cycle ── exp.yaml:4:5
  3 | a: ${b}
  4 | b: x${a}
    |     ^^^^
  `b` refers back to itself: b -> a -> b.
  Give one of them a value of its own.
"""
    )


def test_an_unclosed_expression(project: Project):
    assert (
        project.drawn(HEAD + "a: runs/${run.name\n", env=ENV)
        == """
invalid expression ── exp.yaml:3:9
  2 | model: {}
  3 | a: runs/${run.name
    |         ^^^^^^^^^^
  `${run.name` is never closed.
  Add the missing `}`, or write `$${` for the characters `${`.
"""
    )


def test_an_unset_variable(project: Project):
    assert (
        project.drawn(HEAD + "seed: ${env:int:SEDE}\n", env=ENV)
        == """
missing variable ── exp.yaml:3:7
  2 | model: {}
  3 | seed: ${env:int:SEDE}
    |       ^^^^^^^^^^^^^^^
  The environment variable `SEDE` is not set. Did you mean `SEED`?
  Set it (`export SEDE=...`), or give a default: `${env:int:SEDE,VALUE}`.
"""
    )


def test_a_variable_that_does_not_fit(project: Project):
    assert (
        project.drawn(HEAD + "seed: ${env:int:SEED}\n", env=ENV)
        == """
value does not fit its cast ── exp.yaml:3:7
  2 | model: {}
  3 | seed: ${env:int:SEED}
    |       ^^^^^^^^^^^^^^^
  The value of `SEED` is `eight`, which is no `int`.
  `int` takes a whole number such as `8`, `-3` or `0x10`.
"""
    )


def test_an_unknown_cast(project: Project):
    assert (
        project.drawn(HEAD + "seed: ${env:itn:SEED}\n", env=ENV)
        == """
invalid expression ── exp.yaml:3:7
  2 | model: {}
  3 | seed: ${env:itn:SEED}
    |       ^^^^^^^^^^^^^^^
  `${env:itn:SEED}` asks for the cast `itn`, which does not exist. Did you mean `int`?
  The casts are `int`, `float`, `bool` and `json`.
"""
    )


def test_a_mapping_inside_a_string(project: Project):
    assert (
        project.drawn(HEAD + "run: {name: n}\nout: runs/${run}\n", env=ENV)
        == """
not a plain value ── exp.yaml:4:11
  3 | run: {name: n}
  4 | out: runs/${run}
    |           ^^^^^^
  `${run}` is a mapping, which has no place inside a longer string.
  Refer to one of its values, or let it fill the string.
"""
    )


def test_everything_at_once(project: Project):
    assert (
        project.drawn("schema_version: 2\nsettings: {strct: true, strict: 1}\nimports: [a b]\nx: ${nowhere}\n", env=ENV)
        == """
missing model ── exp.yaml:1:1
  1 | schema_version: 2
    | ^^^^^^^^^^^^^^
  The config has no `model`.
  Describe the model under `model: {sequential: ...}` or `model: {graph: ...}`.

unknown schema version ── exp.yaml:1:17
  1 | schema_version: 2
    |                 ^
  `schema_version` 2 is not known here; this version reads 1.
  Write `schema_version: 1` at the top of the file, or once in the base under all of them.

unknown setting ── exp.yaml:2:12
  1 | schema_version: 2
  2 | settings: {strct: true, strict: 1}
    |            ^^^^^
  There is no setting `strct`. Did you mean `strict`?
  The settings are `strict`, `allow_imports`, `allow_target`, `allowed_import_prefixes`, `track_packages`.

wrong type ── exp.yaml:2:33
  1 | schema_version: 2
  2 | settings: {strct: true, strict: 1}
    |                                 ^
  `settings.strict` is `1`, an integer, not a boolean.
  Write `true` or `false`.

invalid name ── exp.yaml:3:11
  2 | settings: {strct: true, strict: 1}
  3 | imports: [a b]
    |           ^^^
  `a b` is not a module's name.
  Write a list of modules such as `imports: [extensions.my_plugin]`.

unknown path ── exp.yaml:4:4
  3 | imports: [a b]
  4 | x: ${nowhere}
    |    ^^^^^^^^^^
  There is no `nowhere`.
  Paths start at the top of the config.
"""
    )

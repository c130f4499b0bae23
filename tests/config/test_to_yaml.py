"""A config is listed as YAML that people read, with the origin of each value, and reads back as the same."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from otrainer.config import resolve_config
from otrainer.config.nodes import to_data
from otrainer.config.parse import parse_tree
from otrainer.config.to_yaml import annotated

TEXTS = st.text() | st.sampled_from(["null", "1", "1e-3", "yes", "true", "~", "- a", "a: b", "# x", " a", "a ", "0o7"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
PRINTABLE = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    SCALARS.filter(lambda value: not isinstance(value, str) or value.isascii() or value.isprintable()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PRINTABLE.filter(lambda key: "${" not in key), inner),
    max_leaves=12,
)


def test_an_empty_collection_stands_behind_a_key_of_any_length() -> None:
    config: dict[str, object] = {"a": {"k" * 200: [], "m" * 200: {}}}

    assert to_data(parse_tree(annotated(config).encode(), "listed")) == config


@given(st.dictionaries(st.sampled_from(["a", "b", "run", "model"]), VALUES, min_size=1))
def test_what_is_listed_reads_back_as_the_same(config: dict[str, object]) -> None:
    text = annotated(config)

    assert to_data(parse_tree(text.encode("utf-8", "surrogatepass"), "listed")) == unexpressed(config)


def unexpressed(value: object) -> object:
    """What parsing alone gives, where `$${` is not yet one `${`."""
    if isinstance(value, str):
        return re.sub(r"(?<!\$)\$\{(?!secret:)", "$${", value)
    if isinstance(value, list):
        return [unexpressed(item) for item in value]
    if isinstance(value, dict):
        return {key: unexpressed(item) for key, item in value.items()}
    return value


def test_each_value_says_where_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "schema_version: 1\nmodel:\n  sequential:\n    layers:\n      - {_type_: nn.ReLU}\n"
    )
    (tmp_path / "exp.yaml").write_text(
        "defaults: [base.yaml]\nrun: {name: x, tags: [a, 'no: b'], empty: []}\nparams:\n  rate: 1e-3\n  on: 'yes'\n"
    )
    config = resolve_config(tmp_path / "exp.yaml", root=tmp_path)

    assert re.sub(" +#", " #", annotated(config.data, config.source_map)) == (
        "schema_version: 1 # base.yaml:1\n"
        "model:\n"
        "  sequential:\n"
        "    layers:\n"
        "      - _type_: nn.ReLU # base.yaml:5\n"
        "run:\n"
        "  name: x # exp.yaml:2\n"
        '  tags: [a, "no: b"] # exp.yaml:2\n'
        "  empty: [] # exp.yaml:2\n"
        "params:\n"
        "  rate: 0.001 # exp.yaml:4\n"
        "  on: yes # exp.yaml:5\n"
    )

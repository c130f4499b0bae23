"""Random configs, by hypothesis: each resolves or fails with a place, soon, to the same bytes by either parser.

`python tests/campaigns/trees.py [--count N] [--seed S]` tries 10,000, prints what became of them, and exits with 1 at
the smallest one that breaks a law.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from configs import LawlessError, enter_folder, judge_files
from otrainer.config import resolve_config
from otrainer.errors import ConfigError

WORDS = [
    "a",
    "b",
    "c",
    "run",
    "model",
    "name",
    "x.y",
    "",
    "0",
    "é",
    "_x",
    "a" * 30,
    "settings",
    "imports",
    "loss",
    "key",
]
RESERVED = [
    "_merge_",
    "_value_",
    "_template_",
    "_type_",
    "_args_",
    "_kwargs_",
    "_target_",
    "templates",
    "schema_version",
]
PATHS = [
    "a",
    "b",
    "a.b",
    "a[0]",
    "b.c[1].a",
    "run.name",
    "templates.a",
    "a.b.c",
    "model",
    "c[0][0]",
    "a . b",
    "x",
    "a[99]",
]
EXPRESSIONS = [
    "${env:J}", "${env:json:J}", "${env:int:I}", "${env:float:I,1}", "${env:bool:G,no}", "${env:json:G,[1,{\"a\":2}]}", "${secret:S}",
    "$${a}", "${", "${}", "${a${b}}", "${env:G,}", "${nope:x}", "$", "{", "${a.}", "${a]", "${env:json:G,${a}}",
]  # fmt: skip
KEYS = st.sampled_from(WORDS) | st.sampled_from(RESERVED) | st.text(max_size=4)
REFERENCES = st.sampled_from([f"${{{path}}}" for path in PATHS]) | st.sampled_from(EXPRESSIONS)
TEXTS = (
    st.text(max_size=8) | st.lists(REFERENCES | st.text(max_size=3), max_size=4).map("".join) | st.sampled_from(WORDS)
)
HUGE = st.sampled_from([10**999, -(10**999), 10**20, 2**63]) | st.integers(0, 99).map(
    lambda n: 10**1_001 if n == 50 else n
)
SCALARS = st.none() | st.booleans() | st.integers() | HUGE | st.floats() | TEXTS
CONTAINERS = st.fixed_dictionaries(
    {
        "_merge_": st.sampled_from(["replace", "append", "prepend", "keyed", "other"]),
        "_value_": st.lists(SCALARS | st.dictionaries(KEYS, SCALARS, max_size=2), max_size=3),
    },
    optional={"key": st.sampled_from(WORDS)},
)
TREES = st.recursive(
    SCALARS | CONTAINERS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.fixed_dictionaries(
            {"_template_": st.sampled_from(["a", "b", "t"])}, optional={"a": inner, "b": inner, "_merge_": inner}
        )
    ),
    max_leaves=25,
)
SECTIONS = st.dictionaries(st.sampled_from(WORDS), TREES, max_size=5) | st.dictionaries(KEYS, TREES, max_size=2)
TEMPLATES = st.dictionaries(st.sampled_from(["a", "b", "t"]), TREES, max_size=3)
FILES = st.fixed_dictionaries(
    {"exp": SECTIONS, "b": SECTIONS, "c": SECTIONS, "templates": TEMPLATES},
    optional={
        "defaults": st.lists(st.sampled_from(["b.yaml", "c.yaml", "./b.yaml", "exp.yaml", "gone.yaml"]), max_size=3)
    },
)
STYLES = st.fixed_dictionaries(
    {"default_flow_style": st.sampled_from([None, True, False]), "allow_unicode": st.booleans()}
)
ENVIRONMENTS = st.fixed_dictionaries(
    {},
    optional={
        "J": TREES.map(json.dumps) | TEXTS.filter(lambda text: "\0" not in text),
        "I": st.sampled_from(["1", "0x1f", " 08 ", "1e5", "x", ""]),
    },
)


def campaign(count: int, number: int, *, shrink: bool = True) -> Counter:
    """Try so many configs; returned is how often each thing became of one. Raises what the smallest bad one raises."""
    became: Counter = Counter()

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
    )
    @given(FILES, STYLES, ENVIRONMENTS)
    def judged(files, style, env) -> None:
        head = {"schema_version": 1, "model": {}, **({"defaults": files["defaults"]} if "defaults" in files else {})}
        top = {**head, "templates": files["templates"], **files["exp"]}
        texts = {
            name: yaml.safe_dump(tree, sort_keys=False, **style).encode()
            for name, tree in {**files, "exp": top}.items()
            if name in {"exp", "b", "c"}
        }
        became[judge_files(texts, env)] += 1
        as_dict(top, env)

    judged()
    return became


def as_dict(tree: dict, env: dict[str, str]) -> None:
    """The same tree without files: plain data to the same values twice, or a ConfigError."""
    try:
        one, other = (json.dumps(resolve_config(tree, env=env).data) for _ in range(2))
    except ConfigError as error:
        assert str(error)
    else:
        if one != other:
            raise LawlessError("resolved to other values the second time")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given_ = parser.parse_args()
    folder = enter_folder()
    try:
        became = campaign(given_.count, given_.seed)
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        folder.cleanup()
    print(f"seed {given_.seed}: {became.total()} configs, {became['resolved']} resolved, none lawless")
    for title, times in became.most_common():
        print(f"{times:7} {title}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

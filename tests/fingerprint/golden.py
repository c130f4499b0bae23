"""Everything that fingerprints say of the packages in a folder, digest by digest, to compare across versions of Python.

    python tests/fingerprint/golden.py

writes `golden.json` anew, for rules that were changed on purpose: whatever was trained before is then out of date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from otrainer.fingerprint import Code, Fingerprints
from otrainer.fingerprint.normal_form import digest_of

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
GOLDEN = HERE / "golden.json"
# The package of the corpus that every Python from 3.11 on can import.
ODD = "odd"
# Modules of the package `newer`, and the first Python that can parse each.
NEWER = {"generics": (3, 12), "fstrings": (3, 12), "defaults": (3, 13)}


def digests_of(package: str, root: Path) -> dict[str, dict[str, str]]:
    """For each module of a package, which lies on `sys.path`, what is asked of it -> a digest of the whole answer."""
    found = {}
    graph = Fingerprints(root=root).graph
    for module in graph.sources.locator.all_modules(package):
        prints = Fingerprints(root=root)  # whose answers, all together, would fill the memory
        prints.sources, prints.graph = graph.sources, graph
        found[module] = {asked: digest_of(as_text(code)) for asked, code in codes_of(prints, module)}
    return found


def codes_of(prints: Fingerprints, module: str) -> Iterator[tuple[str, Code]]:
    """All that can be asked of a module: its names, its import, the module as a whole, and what it registers."""
    yield "<import>", prints.imported(module)
    yield "<module>", prints.symbol(f"{module}:<module>")
    yield "<plugin>", prints.plugin(module)
    for name in sorted(prints.graph.bindings(module)):
        yield name, prints.symbol(f"{module}:{name}")
    summary = prints.sources.summary(module)
    for key in summary.registration.rows if summary and summary.registration else ():
        yield f"register[{key}]", prints.registered(module, key, "collections:OrderedDict")


def as_text(code: Code) -> str:
    return json.dumps([code.digest, dict(code.symbols), dict(code.uses), code.roots, code.notes])


def corpus_digests() -> dict[str, dict[str, str]]:
    """The digests of the committed corpus."""
    sys.path.insert(0, str(CORPUS))
    try:
        return digests_of(ODD, CORPUS)
    finally:
        sys.path.remove(str(CORPUS))


def read_golden() -> dict[str, dict[str, str]]:
    return json.loads(GOLDEN.read_text())


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(corpus_digests(), indent=1) + "\n")

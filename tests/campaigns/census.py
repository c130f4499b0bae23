"""What fingerprints say of a corpus under the Python that runs this, which may be one inside node.

    python census.py REQUEST

REQUEST is a JSON file that names a `repository` of otrainer, a `corpus` folder, `packages` that lie there or on
`sys.path`, `files` in the corpus, and the file to write the `answer` to: `codes` of the packages, `golden` of the
committed corpus, `statements`, what is remembered of each one, `read`, whether a source could be parsed, and `faults`
in how newer syntax counts. The standard library is all that it needs.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from pathlib import Path

# A module of newer syntax, an edit, and the names whose fingerprints it changes where the module can be parsed.
EDITS = (
    ("generics", "BESIDE = 4", "BESIDE = 5", "BESIDE"),
    ("generics", "LIMIT = 3", "LIMIT = 4", "Bound Box LIMIT Pair first later"),
    ("generics", "T: Bound](Bound)", "T: int](Bound)", "Box"),
    ("generics", "type Inner = list[T]", "type Inner = set[T]", "Box"),
    ("generics", "(int, str)", "(int, bytes)", "first"),
    ("generics", "type Many[*Ts]", "type Many[**Ts]", "Many"),
    ("generics", "BESIDE = 4", "BESIDE = 4  # a comment", ""),
    ("fstrings", "BESIDE = 4", "BESIDE = 5", "BESIDE"),
    ("fstrings", "LIMIT = 3", "LIMIT = 4", "COMMENTED DEBUG LIMIT text"),
    ("fstrings", '"deep"', '"deeper"', "SAME"),
    ("fstrings", "# before", "# another comment", ""),
    ("fstrings", '"c"!r', '"c"!s', "COMMENTED"),
    ("defaults", "BESIDE = 4", "BESIDE = 5", "BESIDE"),
    ("defaults", "LIMIT = 3", "LIMIT = 4", "Bound Box LIMIT Pair first"),
    ("defaults", "class Box[T = Bound]", "class Box[T = int]", "Box"),
)


def main(request: str) -> None:
    asked = json.loads(Path(request).read_text())
    corpus, repository = Path(asked["corpus"]), Path(asked["repository"])
    sys.path[:0] = [str(corpus), str(repository), str(repository / "tests/fingerprint")]
    from golden import corpus_digests, digests_of

    from otrainer.fingerprint import Fingerprints

    prints = Fingerprints(root=corpus)
    codes: dict[str, dict[str, str]] = {}
    for package in asked["packages"]:
        codes |= digests_of(package, corpus)
    paths = {module: prints.file_of(module) for module in codes} | {name: corpus / name for name in asked["files"]}
    summaries = {name: summary(path, name) for name, path in paths.items()}
    found = {
        "python": platform.python_version(),
        "codes": codes,
        "golden": corpus_digests(),
        "statements": {name: rows(each) for name, each in summaries.items()},
        "read": {name: each.is_read for name, each in summaries.items()},
        "faults": list(faults(corpus, Path(request).parent / f"edits-{platform.python_version()}")),
    }
    Path(asked["answer"]).write_text(json.dumps(found))


def summary(path: Path, module: str):
    from otrainer.fingerprint.summary import summary_of

    return summary_of(path.read_bytes(), module, is_package=path.name == "__init__.py")


def rows(found) -> list[tuple[int, str]]:
    """The line of each statement, and a digest of all that is remembered of it; last, of the module itself."""
    from otrainer.fingerprint.normal_form import digest_of

    whole = digest_of(json.dumps([found.digest, found.registration]))
    return [*((each.line, digest_of(json.dumps(each))) for each in found.statements), (0, whole)]


def faults(corpus: Path, folder: Path):
    """Edits of newer syntax that change other fingerprints than those of what they reach."""
    for number, (module, old, new, expected) in enumerate(EDITS):
        text = (corpus / f"newer/{module}.py").read_text()
        if not summary(corpus / f"newer/{module}.py", module).is_read:
            continue
        before = names_of(folder / f"{number}-before", module, text)
        after = names_of(folder / f"{number}-after", module, text.replace(old, new))
        moved = " ".join(sorted(name for name in before if before[name] != after.get(name)))
        if moved != expected or old not in text:
            yield f"newer.{module}: `{new}` for `{old}` changes [{moved}], not [{expected}]"


def names_of(folder: Path, module: str, text: str) -> dict[str, str]:
    """The fingerprint of each name of a module with this text."""
    from otrainer.fingerprint import Fingerprints

    folder.mkdir(parents=True)
    (folder / f"{module}.py").write_text(text)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        prints = Fingerprints(root=folder)
        prints.sources.summary(module)
        return {name: prints.symbol(f"{module}:{name}").digest for name in prints.graph.bindings(module)}
    finally:
        sys.path.remove(str(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])

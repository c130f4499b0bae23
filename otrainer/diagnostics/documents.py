"""Write findings for editors and CI: as one document of JSON, or of SARIF 2.1.0.

The JSON document is `{"version": 1, "tool": {"name", "version"}, "findings": [...]}`, the findings by file and line.
Each has these keys, whose meaning stays for as long as the version does:

`rule` the kind of mistake, as an id; `severity` always "error"; `title`, `message` (with what was meant), `hint` (the
next step or "") and `details` (a traceback or "") as people read them; `file` (relative to the project where it lies
inside, else absolute), `line`, `col` and `end_col` (from 1, in Unicode characters, `end_col` one beyond; all null where
there is no place); `config_path` a list of keys and indices; `suggestions` the nearest names; `related` a list of
`{"role", "file", "line", "col"}`; `includes` how the file came in, `{"file", "line", "col"}` from the innermost entry
to the experiment's own; `doing` and `experiments` what was being done and for which.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.rules import TOOL, own_version, rule_id
from otrainer.diagnostics.sarif import sarif_document
from otrainer.diagnostics.source_text import Sources
from otrainer.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from otrainer.errors import Finding, SourceLocation

VERSION = 1


def document(form: str, findings: Iterable[Finding], root: Path, files: Mapping[str, str]) -> str:
    """Return findings in the form `json` or `sarif`; `files` are those of the experiments, by name."""
    forms: dict[str, Callable[..., dict[str, Any]]] = {"json": json_document, "sarif": sarif_document}
    return json.dumps(forms[form](findings, root, files), indent=2) + "\n"


def json_document(findings: Iterable[Finding], _root: Path, _files: Mapping[str, str]) -> dict[str, Any]:
    sources = Sources()
    return {
        "version": VERSION,
        "tool": {"name": TOOL, "version": own_version()},
        "findings": [row(finding, sources) for finding in findings],
    }


def row(finding: Finding, sources: Sources) -> dict[str, Any]:
    at = finding.location
    return {
        "rule": rule_id(finding.title),
        "severity": "error",
        "title": finding.title,
        "message": f"{finding.message}{did_you_mean(finding.suggestions)}",
        "hint": finding.hint,
        "details": finding.details,
        **(place(at) if at else dict.fromkeys(("file", "line", "col"))),
        "end_col": sources.end_col(at) if at else None,
        "config_path": list(finding.config_path),
        "suggestions": list(finding.suggestions),
        "related": [{"role": role, **place(where)} for role, where in finding.related],
        "includes": [place(where) for where in finding.includes],
        "doing": finding.doing,
        "experiments": list(finding.experiments),
    }


def place(at: SourceLocation) -> dict[str, Any]:
    return {"file": at.file, "line": at.line, "col": at.col}

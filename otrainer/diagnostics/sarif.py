"""Write findings as SARIF 2.1.0 (docs.oasis-open.org/sarif), which editors and code hosts show at their lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from otrainer.diagnostics.rules import TOOL, own_version, rule_id
from otrainer.diagnostics.source_text import Sources
from otrainer.errors import did_you_mean, dotted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from otrainer.errors import Finding, SourceLocation

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
ROOT = "%SRCROOT%"


def sarif_document(findings: Iterable[Finding], root: Path, files: Mapping[str, str]) -> dict[str, Any]:
    """Return one run, with a rule for each kind of mistake that occurs, and paths relative to the project."""
    found, sources = list(findings), Sources()
    titles = {rule_id(finding.title): finding.title for finding in found}
    rules = {name: index for index, name in enumerate(sorted(titles))}
    driver = {"name": TOOL, "version": own_version(), "rules": [rule(name, titles[name]) for name in rules]}
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True}],
        "originalUriBaseIds": {ROOT: {"uri": f"{root.as_uri()}/"}},
        "columnKind": "unicodeCodePoints",
        "results": [result(finding, rules, sources, files) for finding in found],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def rule(name: str, title: str) -> dict[str, Any]:
    text = title[:1].upper() + title[1:]
    return {"id": name, "shortDescription": {"text": f"{text}."}, "defaultConfiguration": {"level": "error"}}


def result(finding: Finding, rules: Mapping[str, int], sources: Sources, files: Mapping[str, str]) -> dict[str, Any]:
    name = rule_id(finding.title)
    text = f"{finding.message}{did_you_mean(finding.suggestions)} {finding.hint}".strip()
    whole: dict[str, Any] = {"ruleId": name, "ruleIndex": rules[name], "level": "error", "message": {"text": text}}
    if places := list(locations(finding, sources, files)):
        whole["locations"] = places
    if related := list(related_locations(finding, sources)):
        whole["relatedLocations"] = related
    if fixes := list(fixes_of(finding, sources)):
        whole["fixes"] = fixes
    experiments = {"experiments": list(finding.experiments)} if finding.experiments else {}
    details = {"details": finding.details} if finding.details else {}
    return {**whole, "properties": {**experiments, **details}} if experiments or details else whole


def locations(finding: Finding, sources: Sources, files: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the place of a finding; without one, its experiments' files, since code hosts refuse a result without."""
    path = dotted(finding.config_path)
    logical = {"logicalLocations": [{"fullyQualifiedName": path}]} if path else {}
    if finding.location:
        yield {"physicalLocation": physical(finding.location, sources), **logical}
        return
    for name in finding.experiments:
        if name in files:
            yield {"physicalLocation": {"artifactLocation": artifact(files[name])}, **logical}


def related_locations(finding: Finding, sources: Sources) -> Iterator[dict[str, Any]]:
    included = (("included by this entry", place) for place in finding.includes)
    for role, place in (*finding.related, *included):
        yield {"physicalLocation": physical(place, sources), "message": {"text": role}}


def physical(at: SourceLocation, sources: Sources) -> dict[str, Any]:
    region = {"startLine": at.line, "startColumn": at.col, "endColumn": sources.end_col(at)}
    return {"artifactLocation": artifact(at.file), "region": region}


def artifact(file: str) -> dict[str, Any]:
    path = Path(file)
    return {"uri": path.as_uri()} if path.is_absolute() else {"uri": quote(path.as_posix()), "uriBaseId": ROOT}


def fixes_of(finding: Finding, sources: Sources) -> Iterator[dict[str, Any]]:
    """Yield a replacement for each suggestion, where the text at the place is the very name the message is about."""
    at = finding.location
    line = sources.line(at) if at else None
    if at is None or line is None:
        return
    start, end = at.col, sources.end_col(at)
    for opening, closing in (("${", "}"), ("'", "'"), ('"', '"')):
        if line[start - 1 : end - 1].startswith(opening) and line[: end - 1].endswith(closing):
            start, end = start + len(opening), end - len(closing)
    if f"`{line[start - 1 : end - 1]}`" not in finding.message:
        return
    region = {"startLine": at.line, "startColumn": start, "endColumn": end}
    for name in finding.suggestions:
        change = {"deletedRegion": region, "insertedContent": {"text": name}}
        yield {
            "description": {"text": f"Write `{name}`."},
            "artifactChanges": [{"artifactLocation": artifact(at.file), "replacements": [change]}],
        }

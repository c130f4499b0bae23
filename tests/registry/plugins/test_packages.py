"""A package under `settings.track_packages` counts by its installed version."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from otrainer.fingerprint import Fingerprints
from otrainer.fingerprint.search_path import SearchPath, add, search_path
from otrainer.registry.effects import Known
from otrainer.registry.plugins.packages import all_installed, check_packages, installed, metadata_files
from otrainer.registry.usage import code_behind, code_of
from otrainer.storage import process_memory

CONFIG = {"settings": {"track_packages": ["Tracked_Thing"]}}


def install(site: Path, version: str) -> None:
    """What pip leaves of a package, the version before it removed."""
    for old in site.glob("tracked_thing-*"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    info = site / f"tracked_thing-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tracked-thing\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    importlib.invalidate_caches()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "1.0")
    return tmp_path


def row(config: dict[str, object]) -> dict[str, object]:
    rows = code_behind(config, lambda key: Known(key, None), Fingerprints())
    return next(each for each in rows if each["key"] == "package:tracked-thing")


def test_another_version_is_another_code(site: Path) -> None:
    before = row(CONFIG)
    assert before["target"] == "tracked-thing 1.0"

    install(site, "1.1")

    assert row(CONFIG)["fingerprint"] != before["fingerprint"] == code_of_version_one(site, before)


def code_of_version_one(site: Path, before: dict[str, object]) -> str:
    install(site, "1.0")
    return code_of(before, Fingerprints()).digest


def test_its_metadata_is_a_file_that_another_version_does_not_have(site: Path) -> None:
    (file,) = metadata_files(CONFIG)
    assert file == site / "tracked_thing-1.0.dist-info" / "METADATA"

    install(site, "1.1")

    assert not file.exists()


def test_untracked_packages_do_not_count() -> None:
    rows = code_behind({"settings": {}}, lambda key: Known(key, None), Fingerprints())
    assert not any(each["key"].startswith("package:") for each in rows)


def test_a_package_that_is_not_installed_is_told_with_the_nearest_name() -> None:
    (finding,) = check_packages(["pyyml"])
    assert finding.message == "There is no installed package `pyyml`."
    assert finding.config_path == ("settings", "track_packages", 0)
    assert "PyYAML" in finding.suggestions


@pytest.fixture
def second_site(site: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another version further down the path, of a name that is spelt in another way."""
    folder = tmp_path_factory.mktemp("second")
    install(folder, "0.9")
    metadata = folder / "tracked_thing-0.9.dist-info/METADATA"
    metadata.write_text(metadata.read_text().replace("tracked-thing", "Tracked_Thing"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    return folder


def versions_found() -> dict[str, str]:
    """What `installed` and `all_installed` say of the package, which is one whatever its name looks like."""
    one = installed("tracked.thing")
    return {"one": one.version if one else "", **{name: v for name, v in all_installed().items() if "racked" in name}}


@pytest.mark.usefixtures("second_site")
def test_of_two_versions_the_one_that_is_imported_is_known() -> None:
    assert versions_found() == {"one": "1.0", "tracked-thing": "1.0"}


def test_a_folder_that_a_plugin_puts_first_counts_before_it_is_there(second_site: Path) -> None:
    """As in the process that says why, which imports no plugin."""
    before = search_path()
    add(SearchPath(front=(str(second_site),)))
    found = versions_found()
    process_memory.put("search path", before)

    assert found == {"one": "0.9", "Tracked_Thing": "0.9"}


@pytest.mark.parametrize("left", ["", "Name: tracked-thing\n", "Version: 3\n"])
def test_what_an_upgrade_left_over_hides_no_package(site: Path, second_site: Path, left: str) -> None:
    (site / "tracked_thing-1.0.dist-info/METADATA").write_text(left)
    importlib.invalidate_caches()

    assert versions_found() == {"one": "0.9", "Tracked_Thing": "0.9"}

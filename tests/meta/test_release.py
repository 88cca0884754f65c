"""The version has its notes, and `make release` sees what stands in a release's way."""

import importlib.util
import re
from importlib.metadata import metadata, version
from types import ModuleType

import pytest

from tests.utils import REPO

TEXT = "\n\n- " + "a word, " * 20
CHANGELOG = f"# Changelog\n\n## [Unreleased]\n\n## [2.0.0] - 2030-01-31{TEXT}\n\n## [1.0.0]{TEXT}\n"


@pytest.fixture(scope="module")
def release() -> ModuleType:
    """Return tools/release.py as a module."""
    spec = importlib.util.spec_from_file_location("release", REPO / "tools" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_version_has_notes(release: ModuleType) -> None:
    """The changelog has a section for the version that the package has."""
    wanted = release.project_version()
    assert wanted == version("pyslab-alloc")
    _, text = release.notes((REPO / "CHANGELOG.md").read_text(encoding="utf-8"), wanted)
    assert len(text.split()) > 100


def test_the_page_on_pypi_leads_nowhere_wrong() -> None:
    """It is README.md, in which links that work in the repository alone are words."""
    page = metadata("pyslab-alloc").json["description"]
    assert isinstance(page, str)
    readme = (REPO / "README.md").read_text(encoding="utf-8")
    link = re.compile(r"\]\((?!https?:)([^)]*)\)")
    assert len(link.findall(readme)) > 20
    assert [] == link.findall(page)
    assert "tutorial (docs/tutorial.md)" in page
    assert "\n    pip install pyslab-alloc\n" in page
    assert re.findall(r"^#+ .*", readme, re.M) == re.findall(r"^#+ .*", page, re.M)


def test_notes_are_one_section(release: ModuleType) -> None:
    """They end where the next version begins; an unknown version has none."""
    date, text = release.notes(CHANGELOG, "2.0.0")
    assert "2030-01-31" == date
    assert text.startswith("- a word,")
    assert "1.0.0" not in text
    assert "" == release.notes(CHANGELOG, "1.0.0")[0]
    with pytest.raises(ValueError, match=r"no section ## \[3.0.0\]"):
        release.notes(CHANGELOG, "3.0.0")


@pytest.mark.parametrize(
    ("wanted", "status", "tags", "told"),
    [
        ("2.0.0", "", "v1.0.0\n", ""),
        ("2.0.0", " M README.md\n", "", "not committed:\n M README.md"),
        ("2.0.0", "", "v2.0.0\n", "a tag v2.0.0 already"),
        ("1.0.0", "", "", "has no date"),
        ("3.0.0", "", "", "no section"),
    ],
)
def test_obstacles(release: ModuleType, wanted: str, status: str, tags: str, told: str) -> None:
    """Each thing that stands in the way is told, and nothing else."""
    found = release.obstacles(CHANGELOG, wanted, status, tags)
    assert (1 if told else 0) == len(found)
    assert told in "".join(found)


def test_what_could_not_be_made_is_told(release: ModuleType) -> None:
    """A line for each kind of machine, with the Pythons that have no wheel there."""
    pythons = [f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11)]
    made = [f"p-1-cp3{m}-cp3{m}-manylinux_2_27_x86_64.whl" for m in (10, 11)]
    told = release.without_wheel([*pythons, "Programming Language :: C"], made)
    assert ["aarch64: no wheel for Python 3.10, 3.11"] == told
    made.append("p-1-cp311-cp311-manylinux_2_27_aarch64.whl")
    assert ["aarch64: no wheel for Python 3.10"] == release.without_wheel(pythons, made)


def test_strange_files_in_the_sdist_are_told(release: ModuleType) -> None:
    """What git does not know, and what is missing; the metadata belong there."""
    packed = ["p-1/PKG-INFO", "p-1/README.md", "p-1/src/left_over.py"]
    told = release.unlike_the_tree(packed, ["README.md", "src/pyslab/__init__.py"])
    assert [
        "the sdist has src/left_over.py, which git does not know",
        "the sdist lacks src/pyslab/__init__.py",
    ] == told
    assert [] == release.unlike_the_tree(packed[:2], ["README.md"])


def test_free_threaded_pythons_want_wheels_of_their_own(release: ModuleType) -> None:
    """From 3.13 on, and a wheel of one is none for the other."""
    pythons = [f"Programming Language :: Python :: 3.{minor}" for minor in (12, 13)]
    pythons.append("Programming Language :: Python :: Free Threading :: 2 - Beta")
    made = [f"p-1-cp3{minor}-cp3{minor}-manylinux_2_27_x86_64.whl" for minor in (12, 13)]
    told = release.without_wheel(pythons, made)
    assert [
        "x86_64: no wheel for Python 3.13t",
        "aarch64: no wheel for Python 3.12, 3.13, 3.13t",
    ] == told
    made.append("p-1-cp313-cp313t-manylinux_2_27_x86_64.whl")
    assert "x86_64" not in "".join(release.without_wheel(pythons, made))

"""The documents name what the code has."""

import inspect
from pathlib import Path

import pytest

import pyslab
from tests.utils import REPO

OPTIONS = [name for name in inspect.signature(pyslab.Arena).parameters if name != "size"]


def _documents() -> str:
    """Return the text that a user would look an option up in."""
    paths = (REPO / "README.md", REPO / "docs" / "design.md")
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def test_the_options_are_the_contracts() -> None:
    """Arena has exactly the documented options."""
    expected = {"hugepages", "max_order", "overcommit", "kmalloc_classes"}
    expected |= {"purge_delay", "prefault", "mlock", "zones", "on_oom", "highmem", "prealloc"}
    expected |= {"highmem_slots"}
    assert expected == set(OPTIONS)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_documented(option: str) -> None:
    """README.md or docs/design.md names each option of Arena."""
    assert option in _documents()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"])
def test_the_project_files_exist(name: str) -> None:
    """The files that every project has are there, and not empty."""
    assert Path(REPO / name).stat().st_size > 100


def test_the_readme_is_short() -> None:
    """A reader gets through it: at most 150 lines."""
    assert len((REPO / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize(
    "kind",
    [
        *(pyslab.Arena, pyslab.Buffer, pyslab.Page, pyslab.KmemCache, pyslab.Mempool),
        *(pyslab.Region, pyslab.Window),
    ],
    ids=lambda kind: str(kind),
)
def test_public_names_have_docstrings(kind: type) -> None:
    """Every public class and method says what it does."""
    silent = [
        name
        for name in dir(kind)
        if not name.startswith("_") and not inspect.getdoc(getattr(kind, name))
    ]
    assert inspect.getdoc(kind)
    assert [] == silent

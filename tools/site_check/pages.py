"""What is wrong in a page of the site, read as HTML.

What it is: `faults` names headings out of order, pictures without words, links that lead nowhere,
and whatever would be fetched from another place. What it is not: how a page looks (browser.py).
"""

from __future__ import annotations

import functools
import posixpath
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_FETCHING = {"script": "src", "img": "src", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """One page: its headings, anchors, links, and pictures."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.headings: list[int] = []
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.faults: list[str] = []
        self._language = ""
        self.feed(path.read_text(encoding="utf-8"))
        self._look()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag is about."""
        found = {name: value or "" for name, value in attrs}
        self.anchors.update(found[name] for name in ("id", "name") if found.get(name))
        if tag == "html":
            self._language = found.get("lang", "")
        if tag in {"h1", "h2", "h3", "h4", "h5", "h6"}:
            self.headings.append(int(tag[1]))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "img" and not found.get("alt", "").strip():
            self.faults.append(f"a picture without words: {found.get('src', '')[:60]}")
        self._look_at_source(tag, found)

    def _look_at_source(self, tag: str, found: dict[str, str]) -> None:
        source = found.get(_FETCHING.get(tag, ""), "")
        if tag == "link" and "stylesheet" in found.get("rel", ""):
            source = found.get("href", "")
        if urlsplit(source).netloc:
            self.faults.append(f"fetched from elsewhere: {source}")

    def _look(self) -> None:
        if not self._language:
            self.faults.append("the page does not say its language")
        if self.headings.count(1) != 1:
            self.faults.append(f"{self.headings.count(1)} first headings")
        steps = zip(self.headings, self.headings[1:], strict=False)
        self.faults += [f"a heading {b} behind a heading {a}" for a, b in steps if b > a + 1]


@functools.cache
def _page(path: Path) -> Page:
    return Page(path)


def _leads_nowhere(page: Page, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return False
    folder = posixpath.dirname(str(page.path))
    path = Path(posixpath.normpath(posixpath.join(folder, unquote(parts.path))))
    target = path if parts.path else page.path
    if not target.is_file():
        return True
    anchor = unquote(parts.fragment)
    return bool(anchor) and target.suffix == ".html" and anchor not in _page(target).anchors


def faults(path: Path) -> list[str]:
    """Return what is wrong in a page, a line each."""
    page = _page(path)
    nowhere = [link for link in page.links if _leads_nowhere(page, link)]
    return page.faults + [f"a link that leads nowhere: {link}" for link in nowhere]


def written(site: Path) -> list[Path]:
    """Return the pages of a site; not the first page's other name, nor what Sphinx adds."""
    own = {"index.html", "genindex.html", "search.html", "py-modindex.html"}
    return [path for path in sorted(site.rglob("*.html")) if path.name not in own]

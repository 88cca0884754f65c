"""What headless Chromium shows of the site: search from file:, narrow screens, no JavaScript.

A page of the harness shows each page of the site in a frame as wide as a telephone and says what
runs out of it. Without JavaScript means: a copy of the page without its scripts. Each call starts
a browser with a profile of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from html import unescape
from pathlib import Path

NARROW, WIDE = 390, 1280
_SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)
_HARNESS = """\
<!doctype html><body><pre id="told"></pre><script>
const pages = %(pages)s, width = %(width)d, told = [];
function moves(element) {  // can it, or what it is in, be moved sideways?
  for (; element && element.tagName != "ARTICLE"; element = element.parentElement)
    if (["auto", "scroll"].includes(getComputedStyle(element).overflowX)) return true;
  return false;
}
function look(page, document) {
  const article = document.querySelector("article");
  if (!article || article.getBoundingClientRect().height < 100)
    told.push(page + ": nothing is to be seen");
  const out = [...document.querySelectorAll("article *")].find(
    (e) => e.getBoundingClientRect().right > width + 1 && !moves(e));
  if (out) told.push(page + ": out of the screen: " + out.outerHTML.slice(0, 80));
}
function show(index) {
  if (index == pages.length) {
    document.getElementById("told").textContent = "told:" + JSON.stringify(told);
    return;
  }
  const frame = document.createElement("iframe");
  frame.style = "width:" + width + "px;height:800px;border:0";
  frame.onload = () => {
    look(pages[index], frame.contentDocument);
    frame.remove();
    show(index + 1);
  };
  frame.src = pages[index];
  document.body.append(frame);
}
show(0);
</script></body>
"""


class Browser:
    """Runs chromium, a process for each question."""

    def __init__(self, program: str) -> None:
        self._program = program

    def _run(self, *arguments: str) -> str:
        with tempfile.TemporaryDirectory() as profile:
            command = [self._program, "--headless", "--no-sandbox", "--disable-gpu"]
            command += ["--hide-scrollbars", f"--user-data-dir={profile}", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        return done.stdout

    def found(self, site: Path, words: str) -> int:
        """Return how many pages the site's search finds, read from file:."""
        url = (site / "search.html").as_uri() + f"?q={words}"
        dom = self._run("--virtual-time-budget=15000", "--dump-dom", url)
        results = re.search(r'<div id="search-results">(.*)', dom, re.DOTALL)
        return len(re.findall(r'<li class="[^"]*kind-', results[1])) if results else 0

    def not_to_be_read(self, pages: Sequence[Path], width: int) -> list[str]:
        """Return what a screen of that width does not show of the pages."""
        with tempfile.TemporaryDirectory() as folder:
            harness = Path(folder) / "harness.html"
            names = json.dumps([page.as_uri() for page in pages])
            harness.write_text(_HARNESS % {"pages": names, "width": width}, encoding="utf-8")
            dom = self._run(
                *("--allow-file-access-from-files", "--disable-web-security"),
                *("--virtual-time-budget=300000", "--dump-dom", harness.as_uri()),
            )
        told = re.search(r'"told">told:(.*?)</pre>', dom, re.DOTALL)
        if told is None:
            raise RuntimeError("chromium did not show all pages")
        found: list[str] = json.loads(unescape(told[1]))
        return found

    def screenshot(self, page: Path, file: Path, width: int) -> None:
        """Make a picture of the top of a page."""
        size = f"--window-size={width},{2400 if width < WIDE else 1600}"
        self._run(size, f"--screenshot={file}", page.as_uri())

    def screenshot_without_scripts(self, page: Path, file: Path) -> None:
        """Make a picture of what a page shows in a browser that runs no scripts."""
        with tempfile.TemporaryDirectory() as folder:
            text = _SCRIPT.sub("", page.read_text(encoding="utf-8"))
            copy = Path(folder) / "page.html"
            base = f'<head><base href="{page.as_uri()}">'
            copy.write_text(text.replace("<head>", base, 1), encoding="utf-8")
            self.screenshot(copy, file, WIDE)

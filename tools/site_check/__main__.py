"""Check the written site: python tools/site_check [--no-browser].

Ends with 1 and says what is wrong. Screenshots to look at are in build/site-check/.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from site_check.browser import NARROW, WIDE, Browser
from site_check.pages import faults, written

REPO = Path(__file__).resolve().parents[2]
SITE = REPO / "build" / "site"
PICTURES = REPO / "build" / "site-check"
_SEARCHES = ("kmalloc", "leak", "share_numpy", "OutOfMemoryError", "hardened")
_LOOK_AT = (
    "README", "docs/README", "docs/tutorial", "docs/recipes", "docs/examples", "docs/faq",
    "docs/explanation/allocation", "docs/lesson/1-buddy", "docs/reference/python",
    "docs/reference/c-functions", "docs/comparison", "docs/tour", "docs/pictures",
)  # fmt: skip


def _in_a_browser(browser: Browser, pages: list[Path]) -> list[str]:
    """Return what is wrong when the pages are shown, and make pictures to look at."""
    missing = [words for words in _SEARCHES if not browser.found(SITE, words)]
    wrong = [f"search from file: finds nothing for {words}" for words in missing]
    wrong += browser.not_to_be_read(pages, NARROW)
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    for name in _LOOK_AT:
        page = SITE / f"{name}.html"
        for width in (NARROW, WIDE):
            browser.screenshot(page, PICTURES / f"{name.replace('/', '-')}-{width}.png", width)
    without = PICTURES / "docs-tutorial-without-javascript.png"
    browser.screenshot_without_scripts(SITE / "docs/tutorial.html", without)
    return wrong


def main(arguments: list[str]) -> int:
    """Return 1 if something is wrong."""
    if not SITE.is_dir():
        print("site-check: there is no build/site: make docs", file=sys.stderr)
        return 1
    pages = written(SITE)
    wrong = [f"{path.relative_to(SITE)}: {fault}" for path in pages for fault in faults(path)]
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        print("site-check: no chromium: the pages were read, and not shown", file=sys.stderr)
    elif "--no-browser" not in arguments:
        wrong += _in_a_browser(Browser(program), pages)
        print(f"screenshots are in {PICTURES.relative_to(REPO)}/")
    for line in wrong:
        print(f"site-check: {line}", file=sys.stderr)
    print(f"{len(pages)} pages, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

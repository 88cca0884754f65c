"""Settings of Sphinx for the site: `make docs` writes it to build/site.

What it is: the pages of docs/ as they are, with README.md, CONTRIBUTING.md and the changelog. The
source folder is the repository, so that links between its files lead somewhere on the site, too.
What it is not: the extensions, which are in tools/docs_site/.
"""

import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tools"))

import pyslab  # noqa: E402  # the installed one, which the reference is made from

project = "pyslab"
author = "the pyslab authors"
version = release = pyslab.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "docs_site"]
root_doc = "docs/README"
source_suffix = {".md": "markdown", ".ipynb": "markdown"}  # notebooks: tools/docs_site/
include_patterns = ["*.md", "docs/*.md", "docs/**/*.md", "docs/lesson/*.ipynb"]
include_patterns += ["bench/README.md", "examples/*/README.md"]
exclude_patterns = ["build", ".*", "**/node_modules"]

myst_heading_anchors = 4  # the anchors that GitHub makes, too
suppress_warnings = ["myst.header"]  # a page may go from # to ###

autodoc_default_options = {"members": True, "undoc-members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
maximum_signature_line_length = 80  # a longer one has a line for each argument

html_theme = "furo"
html_title = f"pyslab {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
add_module_names = False
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None
pygments_style = "friendly"
pygments_dark_style = "github-dark"

"""docs/pictures.md: its example prints what it says, and its pictures can be made.

How many objects a slab has depends on the machine's processors, so pictures made here need not be
those that are committed, byte for byte.
"""

import contextlib
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.utils import REPO

PAGE = (REPO / "docs" / "pictures.md").read_text(encoding="utf-8")


def test_the_example() -> None:
    """The text below it is its output."""
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    said = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(output):
        exec(compile(examples[0], "example.py", "exec"), {})
        output.flush()
    assert said[0] == output.buffer.getvalue().decode()  # type: ignore[attr-defined]


def test_the_pictures(tmp_path: Path) -> None:
    """Each picture of docs/pictures is made, well-formed, and has words of every page's picture."""
    tool = REPO / "tools" / "docs_pictures.py"
    subprocess.run([sys.executable, str(tool), str(tmp_path)], check=True, capture_output=True)
    made = {path.name for path in tmp_path.glob("*.svg")}
    assert made == {path.name for path in (REPO / "docs" / "pictures").glob("*.svg")}
    for name in made:
        root = ET.fromstring((tmp_path / name).read_text(encoding="utf-8"))
        committed = ET.fromstring((REPO / "docs" / "pictures" / name).read_text(encoding="utf-8"))
        assert "800" == root.attrib["width"] == committed.attrib["width"]
    shown = set(re.findall(r"\(pictures/(\w+\.svg)\)", PAGE))
    assert shown <= made

"""docs/profile.md: its examples run, and the files that it names are what it says."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

from tests.profile.test_formats import parse
from tests.utils import REPO

PAGE = (REPO / "docs" / "profile.md").read_text(encoding="utf-8")


def test_the_examples(tmp_path: Path) -> None:
    """Both blocks, one after the other; what the print's comment begins with is printed."""
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert 2 == len(examples)
    code = "\n".join(examples)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    (said,) = re.findall(r"print\(.*\)  # (.*), \.\.\.", code)
    assert done.stdout.startswith(said)
    assert "smooth (<string>:9)" in done.stdout
    message = parse(gzip.decompress((tmp_path / "smooth.pb.gz").read_bytes()))
    assert message["sample"]
    types = {message["string_table"][one["type"]] for one in message["sample_type"]}
    told = set(
        re.findall(r"`([a-z_]+)`", re.findall(r"^\| sample type.*?\n\n", PAGE, re.M | re.S)[0])
    )
    assert types == told


def test_the_example(tmp_path: Path) -> None:
    """examples/where_memory_comes_from.py asserts what it says, and prints it."""
    path = REPO / "examples" / "where_memory_comes_from.py"
    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    assert ["51 MiB at", "17 MiB wi"] == [line[:9] for line in done.stdout.splitlines()]

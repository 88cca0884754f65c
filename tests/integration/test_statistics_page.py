"""The examples in docs/statistics.md run, and print what the page says."""

import contextlib
import io
import re

import pyslab
from tests.utils import REPO

PAGE = (REPO / "docs" / "statistics.md").read_text(encoding="utf-8")


def test_the_examples() -> None:
    """Each print's comment is its output; the report has the page's figures."""
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert 2 == len(examples)
    code = "\n".join(examples)
    output = io.StringIO()
    pyslab.profiler_records.clear()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "example.py", "exec"), {})
    text = output.getvalue()
    said = re.findall(r"print\(.*\)  # (.*)", code)
    assert said == text.splitlines()[: len(said)]
    report = pyslab.profiler_records.report()
    pyslab.profiler_records.clear()
    rows = [line.split() for line in PAGE.splitlines() if re.match(r" +\d+ +[\d,]+ +[\d,]+ ", line)]
    shown = [line.split() for line in report.splitlines()[3:]]
    assert [row[:3] for row in rows] == [row[:3] for row in shown]


def test_every_name_is_told() -> None:
    """The page names every public function and class of the compat modules."""
    for module in (pyslab.compat.torch, pyslab.compat.arrow, pyslab.compat.rmm):
        for name in set(module.__all__) - {"HostMemoryResource", "Statistics"}:
            assert name in PAGE

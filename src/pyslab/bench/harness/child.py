"""Calls a function of this package in a fresh interpreter and returns its result.

For figures that an earlier measurement in the same process would change: resident memory,
and what malloc has learnt. Nothing here knows what the functions measure.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from pyslab.bench.harness.results import BenchError, JsonObject

_TIMEOUT_S = 120
# The child imports what this process imports, however this process found it.
_CODE = (
    "import sys; sys.path[:] = {path!r}; from pyslab.bench.harness import child; "
    "child.answer(*sys.argv[1:])"
)


def call_in_child(
    function: Callable[..., JsonObject], *arguments: Any, timeout_s: float = _TIMEOUT_S
) -> JsonObject:
    """The result of function(*arguments), all of it JSON; BenchError if there is none.

    The function is one that its module has by name.
    """
    code = _CODE.format(path=sys.path)
    where = [function.__module__, function.__name__]
    try:
        child = subprocess.run(
            [sys.executable, "-c", code, *where, json.dumps(arguments)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        last_line = (error.stderr.strip() or "no message").splitlines()[-1]
        raise BenchError(last_line) from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"no answer within {timeout_s:g} s") from error
    result: JsonObject = json.loads(child.stdout)
    return result


def answer(module: str, function: str, arguments: str) -> None:
    """Runs in the child: calls the function and prints what it returns."""
    try:
        result = getattr(importlib.import_module(module), function)(*json.loads(arguments))
    except BenchError as error:
        raise SystemExit(str(error)) from error
    json.dump(result, sys.stdout)

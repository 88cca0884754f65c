"""Runs a module of this package in a fresh interpreter and returns what it prints.

For figures that an earlier measurement in the same process would change: resident memory,
and what malloc has learnt. Nothing here knows what the modules measure.
"""

from __future__ import annotations

import json
import subprocess
import sys

from pyslab.bench._results import BenchError, JsonObject

_TIMEOUT_S = 120
# The child imports what this process imports, however this process found it.
_CODE = "import sys; sys.path[:] = {path!r}; from pyslab.bench import {module}; " + (
    "{module}.main(sys.argv[1:])"
)


def run_module(module: str, *arguments: str) -> JsonObject:
    """The JSON object that `module`.main(arguments) prints; BenchError if there is none."""
    code = _CODE.format(path=sys.path, module=module)
    try:
        child = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        last_line = (error.stderr.strip() or "no message").splitlines()[-1]
        raise BenchError(last_line) from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"no answer within {_TIMEOUT_S} s") from error
    result: JsonObject = json.loads(child.stdout)
    return result

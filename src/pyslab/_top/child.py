"""The program that `pyslab top -- COMMAND` starts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from types import TracebackType

from pyslab._top.processes import Seen, UnseenError, look
from pyslab.run.child import as_shell

__all__ = ["Child"]


class Child:
    """A command that runs. While a screen is shown, it has no terminal: what it prints is kept in
    a file, and printed after its end."""

    def __init__(self, command: list[str], *, quiet: bool) -> None:
        self._output = tempfile.TemporaryFile() if quiet else None  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if quiet else None,
            stdout=self._output,
            stderr=subprocess.STDOUT if quiet else None,
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        if self._output is not None:
            self._output.close()

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def look(self) -> Seen:
        """See what it publishes; UnseenError also when it has ended."""
        status = self._process.poll()
        if status is None:
            return look(self._process.pid)
        ending = f"with status {status}" if status >= 0 else f"by signal {-status}"
        raise UnseenError(f"process {self._process.pid} has ended {ending}; q quits")

    def wait(self) -> int:
        """Wait for its end, print what it has printed, and return its exit status as shells do."""
        status = self._process.wait()
        if self._output is not None:
            self._output.seek(0)
            shutil.copyfileobj(self._output, sys.stdout.buffer)
            sys.stdout.flush()
        return as_shell(status)

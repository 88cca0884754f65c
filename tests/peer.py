"""A second process for tests of sharing, which does what it is told."""

from __future__ import annotations

import signal
import subprocess
import sys


class Peer:
    """Another process, which evaluates lines and answers each with the repr of its value."""

    PROGRAM = """
import sys
import pyslab
names = {"pyslab": pyslab}
for line in sys.stdin:
    try:
        try:
            answer = eval(line, names)
        except SyntaxError:
            answer = exec(line, names)
    except BaseException as error:
        answer = type(error).__name__
    print(repr(answer), flush=True)
"""

    def __init__(self, *fds: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=fds,
        )

    def ask(self, line: str) -> object:
        """Return the value of the line there, or the name of its exception."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return eval(self.process.stdout.readline())

    def kill(self) -> None:
        """End it as the kernel ends a process that takes too much memory."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """End it, and its pipes."""
        self.process.kill()
        self.process.communicate()

"""Two terminals to run a program in: one emulated by pyte, which is always there, and tmux."""

import fcntl
import os
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from types import TracebackType

import pyte

from tests.top.targets import environment

PATIENCE_S = 60


class Terminal:
    """What both have: a screen of lines, keys, and another size."""

    def screen(self) -> list[str]:
        """Return the lines that are shown now, without spaces at their ends."""
        raise NotImplementedError

    def press(self, keys: str) -> None:
        """Type keys."""
        raise NotImplementedError

    def resize(self, columns: int, lines: int) -> None:
        """Become larger or smaller."""
        raise NotImplementedError

    def wait(self, found: Callable[[list[str]], object]) -> list[str]:
        """Wait until the screen is as it should be, and return it."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            lines = self.screen()
            if found(lines):
                return lines
            time.sleep(0.02)
        raise AssertionError("\n".join(self.screen()))


class Emulated(Terminal):
    """A pty, and pyte behind it."""

    def __init__(self, command: list[str], columns: int, lines: int) -> None:
        self._emulated = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._emulated)
        self._pty, end = os.openpty()
        self.resize(columns, lines)
        self.process = subprocess.Popen(
            command,
            stdin=end,
            stdout=end,
            stderr=end,
            env=environment(TERM="linux"),
            start_new_session=True,
        )
        os.close(end)

    def __enter__(self) -> "Emulated":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._pty)

    def screen(self) -> list[str]:
        """Take in what the program has written, and return the screen."""
        while select.select([self._pty], [], [], 0)[0]:
            try:
                self._stream.feed(os.read(self._pty, 65536))
            except OSError:  # nobody has the other end any more
                break
        return [line.rstrip() for line in self._emulated.display]

    def press(self, keys: str) -> None:
        """Type keys."""
        os.write(self._pty, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Tell the kernel and the emulator the new size, and the program by SIGWINCH."""
        fcntl.ioctl(self._pty, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))
        self._emulated.resize(lines, columns)
        if hasattr(self, "process"):
            os.kill(self.process.pid, signal.SIGWINCH)


class Tmux(Terminal):
    """A session of a tmux server of its own."""

    def __init__(self, command: list[str], columns: int, lines: int, folder: os.PathLike) -> None:
        self._socket = os.path.join(folder, "tmux")
        self._tmux(
            *("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(lines), "--"),
            *command,
        )
        self._tmux("set-option", "-g", "status", "off")
        self.resize(columns, lines)

    @staticmethod
    def is_there() -> bool:
        """Whether the machine has tmux."""
        return shutil.which("tmux") is not None

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment(LC_ALL="C.UTF-8"),
        )
        assert 0 == done.returncode or arguments[0] == "kill-server", done.stderr
        return done.stdout

    def __enter__(self) -> "Tmux":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tmux("kill-server")

    def screen(self) -> list[str]:
        """Return what tmux shows."""
        return [line.rstrip() for line in self._tmux("capture-pane", "-p").split("\n")[:-1]]

    def press(self, keys: str) -> None:
        """Type keys."""
        self._tmux("send-keys", keys)

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(lines))

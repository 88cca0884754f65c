"""A Session runs the commands of one program in one way: on the C library, or on pyslab.

The catalogue of programs is PROGRAMS, filled by the decorator `program`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_SECONDS = 300


class ProgramError(Exception):
    """A command ended otherwise than it should, or the library complained."""


@dataclass
class Session:
    """One run of one program, in a folder of its own."""

    folder: Path
    environment: Mapping[str, str]
    user: str | None = None  # runs the commands instead of root, where a program asks for that

    def write(self, name: str, text: str) -> str:
        """Write a file into the folder and return its name."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def _command(self, command: list[str]) -> list[str]:
        # The switch of user comes first, so that only the program itself is on the library.
        preload = [f"{key}={value}" for key, value in self.environment.items()]
        switch = ["runuser", "-u", self.user, "--"] if self.user is not None else []
        return [*switch, "env", *preload, *command]

    def run(
        self,
        command: list[str],
        *,
        text: str | None = None,
        status: int = 0,
        errors: bool = False,
    ) -> str:
        """Run a command to its end; return what it prints, with errors what it complains of."""
        done = subprocess.run(
            self._command(command),
            cwd=self.folder,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        if done.returncode != status or "pyslab:" in done.stderr:
            raise ProgramError(
                f"{' '.join(command)[:200]}: status {done.returncode}, not {status}\n"
                f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            )
        return done.stderr if errors else done.stdout

    @contextmanager
    def server(self, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        """Keep a command running; at the end it must have ended well, asked to or by itself."""
        with (self.folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                self._command(command), cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )
            try:
                yield process
                status = process.wait(60)
            except BaseException:
                process.kill()
                process.wait()
                raise
        said = (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")
        if status != 0 or "pyslab:" in said:
            raise ProgramError(f"{command[0]}: status {status}\n{said[-3000:]}")


@dataclass(frozen=True)
class Program:
    """One entry of the catalogue."""

    name: str
    what: str
    commands: tuple[str, ...]
    packages: str
    run: Callable[[Session], str]

    def missing(self) -> list[str]:
        """Return the commands that this machine lacks."""
        return [name for name in self.commands if shutil.which(name, path=search_path()) is None]


PROGRAMS: list[Program] = []


def search_path() -> str:
    """Return PATH and the folders of PostgreSQL's servers."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return os.pathsep.join([os.environ["PATH"], *map(str, versions)])


def program(
    *commands: str, packages: str
) -> Callable[[Callable[[Session], str]], Callable[[Session], str]]:
    """Put a function into PROGRAMS; commands are what it needs, packages Debian's names."""

    def put(run: Callable[[Session], str]) -> Callable[[Session], str]:
        what = (run.__doc__ or "").strip()
        PROGRAMS.append(Program(run.__name__, what, commands, packages, run))
        return run

    return put

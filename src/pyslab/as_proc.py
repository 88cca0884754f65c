"""Tools that read /proc, such as slabtop and vmstat, over an arena's figures.

run(arena, ["slabtop", "-o"]) starts a program that finds the arena's texts where the kernel's
are: slabinfo, buddyinfo, zoneinfo, vmstat. It has a mount namespace of its own, in which files
with these texts lie over those of /proc; nobody else sees them. Not here: the texts (procfs.py).

`pyslab slabinfo` is the same from the command line.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyslab.errors import PyslabError
from pyslab.run.child import as_shell

if TYPE_CHECKING:
    from pyslab._arena.arena import Arena

__all__ = ["main", "run", "run_texts"]

_SCRIPT = """\
for file in "$1"/*; do mount --bind "$file" "/proc/${file##*/}" || exit 125; done
shift
exec "$@"
"""
_MOUNT_FAILED = 125


def _unshare() -> list[str]:
    """Return the beginning of a command whose rest runs in a mount namespace of its own."""
    found = shutil.which("unshare")
    if found is None:
        raise PyslabError("there is no program unshare; hint: it is in util-linux")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return [found, "--mount", *user, "--"]


def run_texts(
    texts: Mapping[str, str], command: Sequence[str], **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a command that finds texts in the files of /proc with these names.

    options: as subprocess.run() has them. Raises PyslabError if the system allows no mount
    namespace, or /proc has no such file; FileNotFoundError if there is no such command.
    """
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"there is no program {command[0]!r}")
    for name in texts:
        if not Path("/proc", name).exists():
            raise PyslabError(f"this system has no /proc/{name} to put one over")
    with tempfile.TemporaryDirectory(prefix="pyslab-proc-") as folder:
        for name, text in texts.items():
            Path(folder, name).write_bytes(text.encode("utf-8", "surrogateescape"))
        whole = [*_unshare(), "sh", "-c", _SCRIPT, "sh", folder, *command]
        allowed = subprocess.run([*_unshare(), "true"], capture_output=True, check=False)
        if allowed.returncode != 0:
            why = allowed.stderr.decode(errors="replace").strip()
            raise PyslabError(
                f"this system allows no mount namespace ({why}); hint: in a container it takes "
                "the right to mount (CAP_SYS_ADMIN), or user namespaces"
            )
        done = subprocess.run(whole, **options)
    if done.returncode == _MOUNT_FAILED:
        raise PyslabError("this system allows no mount over a file of /proc")
    return done


def run(arena: Arena, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """Run a command that sees the arena in /proc; options and errors as run_texts()."""
    texts = {
        "slabinfo": arena.slabinfo(),
        "buddyinfo": arena.buddyinfo(),
        "zoneinfo": arena.zoneinfo(),
        "vmstat": arena.vmstat(),
    }
    return run_texts(texts, command, **options)


# --- pyslab slabinfo -----------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyslab slabinfo",
        usage="pyslab slabinfo [FILE] [--as-proc -- COMMAND [ARGUMENT ...]]",
        description="Show a slabinfo that a program wrote to a file (arena.slabinfo() is the "
        "text), or run a command, such as slabtop -o or vmstat -m, that finds it in "
        "/proc/slabinfo. Without FILE: that of a small arena which has a bit of everything.",
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="- is the standard input")
    parser.add_argument("--as-proc", action="store_true", help="run COMMAND over it")
    return parser


def _sample() -> str:
    import pyslab

    arena = pyslab.Arena("16MiB", hugepages="no")
    held = [arena.kmalloc(size) for size in range(1, 4000, 7)]
    text = arena.slabinfo()
    del held
    return text


def main(arguments: Sequence[str]) -> int:
    """Run `pyslab slabinfo`; return its exit status, which is the command's."""
    own, command = _split(arguments)
    options = _parser().parse_args(own)
    if options.as_proc != bool(command):
        _parser().error("--as-proc and a command behind -- belong together")
    try:
        if options.file is None:
            text = _sample()
        elif options.file == "-":
            text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        else:
            text = Path(options.file).read_bytes().decode("utf-8", "surrogateescape")
        if not command:
            sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
            return 0
        return as_shell(run_texts({"slabinfo": text}, command, check=False).returncode)
    except (OSError, PyslabError) as error:
        print(f"pyslab slabinfo: {error}", file=sys.stderr)
        return 1


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what is before the first "--", and what is behind it."""
    own = list(arguments)
    at = own.index("--") if "--" in own else len(own)
    return own[:at], own[at + 1 :]

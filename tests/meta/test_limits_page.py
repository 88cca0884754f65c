"""docs/limits.md names each system call that the core can make."""

import re

import pytest

from tests.utils import REPO

# Functions of the C library that csrc/os/ calls: the system calls behind them.
CALLS = {
    "clock_gettime": ["clock_gettime"],
    "close": ["close"],
    "closedir": ["close"],
    "dup3": ["dup3"],
    "dlopen": ["open", "read", "fstat", "mmap", "mprotect", "close"],
    "fallocate": ["fallocate"],
    "fchmod": ["fchmod"],
    "fcntl": ["fcntl"],
    "fdatasync": ["fdatasync"],
    "flock": ["flock"],
    "fopen": ["open", "read"],
    "fstat": ["fstat"],
    "ftruncate": ["ftruncate"],
    "getcwd": ["getcwd"],
    "getrandom": ["getrandom"],
    "getrlimit": ["prlimit64"],
    "madvise": ["madvise"],
    "memfd_create": ["memfd_create"],
    "mlock": ["mlock"],
    "mmap": ["mmap"],
    "mprotect": ["mprotect"],
    "mremap": ["mremap"],
    "msync": ["msync"],
    "munlock": ["munlock"],
    "munmap": ["munmap"],
    "nanosleep": ["nanosleep"],
    "open": ["open"],
    "opendir": ["open", "fstat"],
    "posix_fallocate": ["fallocate"],
    "pthread_create": ["clone3"],
    "pthread_join": ["futex"],
    "pthread_setname_np": ["prctl"],
    "pread": ["pread64"],
    "process_vm_readv": ["process_vm_readv"],
    "pwrite": ["pwrite"],
    "raise": ["getpid", "gettid", "tgkill"],
    "read": ["read"],
    "readdir": ["getdents64"],
    "readlink": ["readlink"],
    "sigaction": ["sigaction"],
    "sigaltstack": ["sigaltstack"],
    "sched_yield": ["sched_yield"],
    "syscall": ["prlimit64"],
    "sysconf": ["sysinfo"],
    "truncate": ["truncate"],
    "unlink": ["unlink"],
    "write": ["write"],
}
# These make none.
QUIET = {"getauxval", "getenv", "pthread_once", "pthread_setcancelstate", "fclose", "fscanf"}
QUIET |= {"memcpy", "memset", "memcmp", "strlen", "strcspn", "strchr", "strcmp", "strncmp"}
QUIET |= {"strrchr", "sigaddset", "sigemptyset"}
QUIET |= {"hook", "peek", "offsetof", "atomic_store"}
QUIET |= {"pthread_attr_init", "pthread_attr_destroy", "pthread_attr_setstacksize"}
QUIET |= {"dl_iterate_phdr", "dladdr", "dlsym", "walk", "address", "visit"}
QUIET |= {"find_description", "find_module"}
QUIET |= {"getpid", "pthread_sigmask", "sigfillset", "strsep", "strtoull", "snprintf", "sscanf"}
KEYWORDS = {"if", "for", "while", "return", "sizeof", "switch", "defined", "do", "volatile"}
MACROS = {"page_bytes", "container_of", "is_power_of_two", "likely", "unlikely"}


def _os_text() -> str:
    paths = sorted(set((REPO / "csrc/os").glob("*.c")) - {REPO / "csrc/os/os_pretend.c"})
    texts = [path.read_text(encoding="utf-8") for path in paths]
    text = re.sub(r'/\*.*?\*/|"(?:[^"\\]|\\.)*"', "", "\n".join(texts), flags=re.DOTALL)
    # constants and attributes have brackets, and are no functions
    return re.sub(r"^#define \w+ .*$|__attribute__\(\(.*?\)\)", "", text, flags=re.MULTILINE)


def _foreign_calls(text: str) -> set[str]:
    """Return the functions that are called and that the text does not define itself."""
    own = set(re.findall(r"^(?!\s)[^;{}=\n]*?\b(\w+)\([^;{}]*\)\s*\{", text, re.MULTILINE))
    called = set(re.findall(r"(?<![\w.>])([a-z]\w*)\(", text))
    return {
        name
        for name in called - own - KEYWORDS
        if not re.match(
            r"os_|lock_|load_|store_|fault_|finding_|align_|ceil_|ilog2|max_|min_", name
        )
    }


def test_the_page_names_them_all() -> None:
    """Each system call behind a function that csrc/os/ calls is in the page, by its name."""
    page = (REPO / "docs/limits.md").read_text(encoding="utf-8")
    calls = _foreign_calls(_os_text()) & set(CALLS)
    assert len(calls) > 20
    missing = {name for call in calls for name in CALLS[call] if f"`{name}`" not in page}
    assert set() == missing


def test_no_function_is_unknown() -> None:
    """A call of the C library that is new to csrc/os/ has to be put into one of the lists."""
    known = set(CALLS) | QUIET | MACROS
    unknown = {name for name in _foreign_calls(_os_text()) if name not in known}
    assert set() == unknown


@pytest.mark.parametrize(
    "folder", ["page", "buddy", "page_alloc", "kfence", "slab", "vm", "arena", "malloc"]
)
def test_others_call_none(folder: str) -> None:
    """Outside csrc/os/ the core maps, opens and reads nothing by itself."""
    ours = set(CALLS) - {"read", "write", "open", "close"}  # words of the core's own, too
    for path in sorted((REPO / "csrc" / folder).glob("*.c")):
        text = re.sub(
            r'/\*.*?\*/|"(?:[^"\\]|\\.)*"', "", path.read_text(encoding="utf-8"), flags=re.S
        )
        assert set() == _foreign_calls(text) & ours, path

"""Whether the shared objects in a wheel may go to other machines.

What it is: the rules, one function each; `judge` opens a wheel and returns the sentences of what
is wrong. `auditwheel` has judged the versions of symbols too; what it does not look at is here:
what is exported, how thread-local variables are reached, and what must not be in the file.
What it is not: a test of what the code does.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection

# The parts of the C library, as they were before glibc 2.34 joined them, and the linker.
SYSTEM = re.compile(r"(libc\.so\.6|libpthread\.so\.0|libdl\.so\.2|libm\.so\.6|ld-linux.*\.so\.\d)")
MALLOC = "pyslab/lib/libpyslab_malloc.so"
# What is preloaded, and the version script in csrc/ that says what it exports.
LIBRARIES = {
    MALLOC: "malloc/exports.map",
    "pyslab/lib/libpyslab_profiler.so": "profiler/exports.map",
    "pyslab/lib/libpyslab_malloc_profiled.so": "profiler/exports_malloc.map",
    "pyslab/lib/libpyslab_record.so": "record/exports.map",
}
PROGRAMS = ("pyslab/bench/driver", "pyslab/lib/pyslab_replay")
# What is in each wheel, beside the modules: for extensions, for other programs, for type checkers.
FILES = (
    *LIBRARIES, *PROGRAMS, "pyslab/include/pyslab.h", "pyslab/include/pyslab.hpp",
    "pyslab/include/pyslab/functions.h", "pyslab/share/cffi/pyslab.cdef",
    "pyslab/share/pkgconfig/pyslab.pc", "pyslab/share/cmake/pyslab/pyslabConfig.cmake",
    "pyslab/__init__.pxd", "pyslab/cymem.pxd", "pyslab/_core.pyi", "pyslab/py.typed",
)  # fmt: skip
_DF_STATIC_TLS = 0x10
_DF_1_NODELETE = 0x8


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def exported_by(map_text: str) -> list[str]:
    """Return the patterns that a linker's version script exports."""
    text = re.sub(r"/\*.*?\*/", "", map_text, flags=re.DOTALL)
    match = re.search(r"global:(.*?)local:", text, flags=re.DOTALL)
    assert match is not None, "the version script has no global part"
    return [name.strip() for name in match[1].split(";") if name.strip()]


def _exports(elf: ELFFile) -> set[str]:
    table = elf.get_section_by_name(".dynsym")
    if not isinstance(table, SymbolTableSection):
        return set()
    return {
        symbol.name
        for symbol in table.iter_symbols()
        if symbol.name and symbol["st_shndx"] != "SHN_UNDEF"
    }


def _undefined(elf: ELFFile) -> set[str]:
    table = elf.get_section_by_name(".dynsym")
    if not isinstance(table, SymbolTableSection):
        return set()
    return {symbol.name for symbol in table.iter_symbols() if symbol["st_shndx"] == "SHN_UNDEF"}


def _wrong_export(name: str, elf: ELFFile, maps: Mapping[str, list[str]]) -> Iterator[str]:
    exports = _exports(elf)
    if name in maps:
        allowed = maps[name]
        for pattern in allowed:
            if not any(fnmatchcase(symbol, pattern) for symbol in exports):
                yield f"does not export {pattern}"
    elif name in PROGRAMS:
        return  # a program, whose symbols nobody looks up
    else:
        allowed = ["PyInit_" + PurePosixPath(name).name.split(".")[0]]
        if allowed[0] not in exports:
            yield f"does not export {allowed[0]}"
    for symbol in sorted(exports):
        if not any(fnmatchcase(symbol, pattern) for pattern in allowed):
            yield f"exports {symbol}"


def _wrong_dynamic(name: str, elf: ELFFile) -> Iterator[str]:
    dynamic = elf.get_section_by_name(".dynamic")
    if not isinstance(dynamic, DynamicSection):
        yield "has no dynamic section"
        return
    flags = {"DT_FLAGS": 0, "DT_FLAGS_1": 0}
    for tag in dynamic.iter_tags():
        if tag.entry.d_tag in flags:
            flags[tag.entry.d_tag] = tag.entry.d_val
        elif tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH", "DT_TEXTREL"):
            yield f"has {tag.entry.d_tag}"
        elif tag.entry.d_tag == "DT_NEEDED" and not SYSTEM.fullmatch(tag.needed):
            yield f"needs {tag.needed}"
    if "__tls_get_addr" in _undefined(elf):
        yield "reaches thread-local variables by calls (__tls_get_addr), not at fixed places"
    is_core = PurePosixPath(name).name.startswith("_core.")
    if (name == MALLOC or is_core) and not flags["DT_FLAGS"] & _DF_STATIC_TLS:
        yield "has no thread-local variables at fixed places (DF_STATIC_TLS)"
    if (name in LIBRARIES or is_core) and not flags["DT_FLAGS_1"] & _DF_1_NODELETE:
        yield "can be unloaded (no DF_1_NODELETE), while threads run its code when they end"


def _wrong_version(elf: ELFFile, baseline: str) -> Iterator[str]:
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for _, needed in section.iter_versions():
                for one in needed:
                    family, _, version = one.name.partition("_")
                    if family != "GLIBC" or _numbers(version) > _numbers(baseline):
                        yield f"needs {one.name}, above GLIBC_{baseline}"


def _wrong_segment(elf: ELFFile) -> Iterator[str]:
    for segment in elf.iter_segments():
        if segment["p_type"] == "PT_GNU_STACK" and segment["p_flags"] & 1:
            yield "has a stack that can be executed"
    if elf.get_section_by_name(".debug_info") is not None:
        yield "has debugging information, with the paths of the machine that built it"


def judge_object(
    name: str, content: bytes, baseline: str, maps: Mapping[str, list[str]]
) -> list[str]:
    """Return what is wrong with one ELF file, a sentence each."""
    elf = ELFFile(io.BytesIO(content))
    found = [
        *_wrong_export(name, elf, maps),
        *_wrong_dynamic(name, elf),
        *_wrong_version(elf, baseline),
        *_wrong_segment(elf),
    ]
    return [f"{name} {what}" for what in found]


def judge(wheel: zipfile.ZipFile, baseline: str, maps: Mapping[str, list[str]]) -> list[str]:
    """Return what is wrong with a wheel's files, a sentence each.

    maps: the patterns that each of LIBRARIES exports.
    """
    names = wheel.namelist()
    wrong = [f"{name} is missing" for name in FILES if name not in names]
    for module in ("_core", "cymem"):
        if not any(re.fullmatch(rf"pyslab/{module}\.cpython-.*\.so", name) for name in names):
            wrong.append(f"the module {module} is missing")
    for name in names:
        content = wheel.read(name)
        if content[:4] == b"\x7fELF":
            wrong += judge_object(name, content, baseline, maps)
    for name in set(PROGRAMS).intersection(names):
        if not wheel.getinfo(name).external_attr >> 16 & 0o111:
            wrong.append(f"{name} cannot be executed")
    return wrong

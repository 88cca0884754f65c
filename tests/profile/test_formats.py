"""The formats: what pprof would read, field by field; collapsed stacks; the table; bad files."""

import contextlib
import gzip
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import pyslab
from pyslab._profile import collapsed, formats, pprof, raw, symbols
from pyslab._profile.records import merged

# perftools.profiles, as pprof's profile.proto has it: field number: (name, type, repeated).
# i: a number; s: a string; b: a message of the named type.
_PROTO: dict[str, dict[int, tuple[str, str, bool]]] = {
    "Profile": {
        1: ("sample_type", "ValueType", True),
        2: ("sample", "Sample", True),
        3: ("mapping", "Mapping", True),
        4: ("location", "Location", True),
        5: ("function", "Function", True),
        6: ("string_table", "s", True),
        9: ("time_nanos", "i", False),
        10: ("duration_nanos", "i", False),
        11: ("period_type", "ValueType", False),
        12: ("period", "i", False),
        13: ("comment", "i", True),
        14: ("default_sample_type", "i", False),
    },
    "ValueType": {1: ("type", "i", False), 2: ("unit", "i", False)},
    "Sample": {1: ("location_id", "i", True), 2: ("value", "i", True), 3: ("label", "Label", True)},
    "Label": {1: ("key", "i", False), 2: ("str", "i", False), 3: ("num", "i", False)},
    "Mapping": {
        1: ("id", "i", False),
        2: ("memory_start", "i", False),
        3: ("memory_limit", "i", False),
        4: ("file_offset", "i", False),
        5: ("filename", "i", False),
        6: ("build_id", "i", False),
        7: ("has_functions", "i", False),
    },
    "Location": {
        1: ("id", "i", False),
        2: ("mapping_id", "i", False),
        3: ("address", "i", False),
        4: ("line", "Line", True),
    },
    "Line": {1: ("function_id", "i", False), 2: ("line", "i", False)},
    "Function": {
        1: ("id", "i", False),
        2: ("name", "i", False),
        3: ("system_name", "i", False),
        4: ("filename", "i", False),
    },
}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _numbers(data: bytes) -> list[int]:
    at, found = 0, []
    while at < len(data):
        value, at = _varint(data, at)
        found.append(value)
    return found


def parse(data: bytes, kind: str = "Profile") -> dict[str, Any]:
    """Read a message by its description; what is not described is an error."""
    message: dict[str, Any] = {
        name: [] if repeated else 0 for name, _, repeated in _PROTO[kind].values()
    }
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        name, of, repeated = _PROTO[kind][key >> 3]
        if key & 7 == 2:
            size, at = _varint(data, at)
            content, at = data[at : at + size], at + size
            assert len(content) == size
            values = _numbers(content) if of == "i" else []
            if of == "s":
                values = [content.decode()]  # type: ignore[list-item]
            elif of != "i":
                values = [parse(content, of)]  # type: ignore[list-item]
        else:
            assert key & 7 == 0
            assert of == "i"
            value, at = _varint(data, at)
            values = [value]
        if repeated:
            message[name] += values
        else:
            message[name] = values[-1]
    return message


@pytest.fixture(scope="module")
def profile() -> pyslab.MemoryProfile:
    """Return a profile with frames of Python and of C."""
    import numpy as np

    arena = pyslab.Arena("64MiB")
    with pyslab.profile(every="all") as block, arena.numpy_allocator():
        kept = [np.ones(1000), arena.kmalloc(50)]
    assert block.result is not None
    del kept
    return block.result


def test_pprof(profile: pyslab.MemoryProfile) -> None:
    """Every number leads somewhere; values, names, lines and mappings are those of the profile."""
    message = parse(gzip.decompress(pprof.encoded(profile)))
    strings = message["string_table"]
    assert "" == strings[0]
    assert len(set(strings)) == len(strings)
    types = [(strings[one["type"]], strings[one["unit"]]) for one in message["sample_type"]]
    assert list(pprof.SAMPLE_TYPES) == types
    assert "peak_space" == strings[message["default_sample_type"]]
    locations = {one["id"]: one for one in message["location"]}
    functions = {one["id"]: one for one in message["function"]}
    mappings = {one["id"]: one for one in message["mapping"]}
    assert 0 not in {*locations, *functions, *mappings}
    assert len(profile.sites) == len(message["sample"])
    for sample, site in zip(message["sample"], profile.sites, strict=True):
        assert len(sample["value"]) == len(types)
        assert site.allocated_bytes == sample["value"][1]
        for number, frame in zip(sample["location_id"], site.frames, strict=True):
            location = locations[number]
            (line,) = location["line"]
            function = functions[line["function_id"]]
            assert frame.line == line["line"]
            assert frame.file == strings[function["filename"]]
            assert strings[function["name"]] == (frame.function or str(frame))
            if frame.module is not None:
                mapping = mappings[location["mapping_id"]]
                assert mapping["memory_start"] <= location["address"] < mapping["memory_limit"]
                assert frame.file == strings[mapping["filename"]]
    assert 0 < message["time_nanos"]
    assert 0 < message["duration_nanos"] < 600e9


def test_pprof_of_several_processes(profile: pyslab.MemoryProfile) -> None:
    """Samples have their process as a label, and comments name the processes."""
    import copy

    other = copy.deepcopy(profile)
    other.processes = {5: "other program"}
    other.cut_off = [5]
    for site in other.sites:
        site.process = 5
    whole = merged([profile, other])
    message = parse(gzip.decompress(pprof.encoded(whole)))
    labels = {
        (message["string_table"][label["key"]], label["num"])
        for sample in message["sample"]
        for label in sample["label"]
    }
    assert {("process", number) for number in whole.processes} == labels
    comments = [message["string_table"][number] for number in message["comment"]]
    assert "process 5: other program" in comments
    assert any(text.startswith("process 5 ended by a signal") for text in comments)
    assert 2 * profile.allocated_bytes == whole.allocated_bytes


def test_collapsed(profile: pyslab.MemoryProfile) -> None:
    """The outermost call first, and the bytes at the peak last."""
    lines = collapsed.text(profile).splitlines()
    stacks = [line.rpartition(" ") for line in lines]
    assert round(sum(site.peak_bytes for site in profile.sites)) == sum(
        int(nbytes) for _, _, nbytes in stacks
    )
    assert any(stack.endswith(f"profile (test_formats.py:{_LINE})") for stack, _, _ in stacks)
    assert all(";" in stack for stack, _, _ in stacks)


_LINE = 1 + next(
    number
    for number, line in enumerate(Path(__file__).read_text(encoding="utf-8").splitlines())
    if "kept = [np.ones" in line
)


def test_the_table(profile: pyslab.MemoryProfile) -> None:
    """The sums first, then the largest place, and the calls to it."""
    lines = str(profile).splitlines()
    assert lines[0].startswith("peak 7.9 KiB, live at the end 7.9 KiB")
    assert "each allocation" in lines[1]
    assert lines[3].split() == ["at", "peak", "live", "allocated", "count", "lifetime", "where"]
    assert lines[4].split()[:2] == ["7.8", "KiB"]


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.pb.gz", "pprof"),
        ("a.pprof", "pprof"),
        ("a.collapsed", "collapsed"),
        ("a.txt", "collapsed"),
        ("a.folded", "collapsed"),
        ("a.table", "table"),
    ],
)
def test_formats_by_name(
    profile: pyslab.MemoryProfile, tmp_path: Path, name: str, format: str
) -> None:
    """The end of the name chooses; what is chosen goes before it."""
    path = str(tmp_path / name)
    assert format == formats.format_of(path)
    formats.write(profile, path, format)
    content = Path(path).read_bytes()
    assert (content[:2] == b"\x1f\x8b") == (format == "pprof")
    assert "table" == formats.format_of(path, "table")


def test_human_sizes() -> None:
    """Numbers as people read them."""
    from pyslab._profile.table import human

    sizes = [0, 1023, 1024, 1 << 20, 1 << 30, 5 << 50]
    assert ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 GiB", "5120.0 TiB"] == [
        human(size) for size in sizes
    ]


def test_symbols_and_build_ids() -> None:
    """Names from a library's own table, its build id; nothing from what is no program."""
    from pyslab import _core

    table = symbols.Symbols()
    assert "" == table.name(__file__, 1000)
    assert "" == table.name("/nowhere", 1000)
    assert "" == symbols.build_id("/nowhere")
    assert _core.__file__ is not None
    assert {len(symbols.build_id(_core.__file__)) % 2} == {0}


def test_damaged_files(tmp_path: Path) -> None:
    """Cut off, or changed anywhere: an error that says so, or a profile; never anything else."""
    arena = pyslab.Arena("16MiB")
    path = tmp_path / "x.txt"
    block = pyslab.profile(path, every="all")
    block.start()
    kept = [arena.kmalloc(100) for _ in range(3)]
    (part,) = tmp_path.glob("x.txt.part-*")
    good = part.read_bytes()
    block.stop()
    used = int.from_bytes(good[24:32], "little")
    broken = tmp_path / "broken"
    chooser = random.Random(1)
    outcomes = Counter[str]()
    for _ in range(250):
        data = bytearray(good[: used + 100])
        if chooser.random() < 0.3:
            del data[chooser.randrange(used) :]
        for _ in range(chooser.randrange(1, 4)):
            if data:
                data[chooser.randrange(len(data))] = chooser.randrange(256)
        broken.write_bytes(data)
        with contextlib.suppress(ValueError):
            raw.read(str(broken))
            outcomes["read"] += 1
    assert 0 < outcomes["read"] < 250
    assert kept

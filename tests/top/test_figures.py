"""The reader of published figures trusts nothing: any bytes are figures or an error."""

import os
import random
import re
import struct
from pathlib import Path

import pytest

from pyslab._top import figures, holders
from pyslab._top.figures import DamagedError, read_figures
from tests.top.targets import IDLE, target
from tests.utils import REPO


def _memory(data: bytes) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    os.pwrite(fd, data, 0)
    return fd


def _published(pid: int) -> bytes:
    """Return the figures that a process publishes."""
    for entry in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{entry}"
        if os.readlink(path) == "/memfd:pyslab-figures (deleted)":
            return Path(path).read_bytes()
    raise AssertionError("the process publishes nothing")


@pytest.fixture(scope="module")
def whole() -> bytes:
    """The figures of an arena in use, of a process of its own: this one may have many arenas."""
    with target(IDLE) as process:
        return _published(process.pid)


def _outcome(data: bytes) -> str:
    fd = _memory(data)
    try:
        read_figures(fd)
        return "read"
    except DamagedError:
        return "refused"
    finally:
        os.close(fd)


def test_whole_figures_are_read(whole: bytes) -> None:
    """What the fuzz starts from is whole."""
    fd = _memory(whole)
    try:
        found = read_figures(fd)
    finally:
        os.close(fd)
    assert [16 << 20] == [arena.size_bytes for arena in found.arenas]


def test_layout_is_the_headers() -> None:
    """The reader's constants are those of csrc/publish/figures.h."""
    text = (REPO / "csrc/publish/figures.h").read_text(encoding="utf-8")
    defined = dict(re.findall(r"#define PUBLISH_(\w+) (\S+)", text))
    assert f'"{figures.NAME}"' == defined["NAME"]
    assert figures._MAGIC == int(defined["MAGIC"].rstrip("u"), 16)
    assert figures.VERSION == int(defined["VERSION"].rstrip("u"))
    for name in ("ARENAS", "CACHES", "ZONES", "SITES", "FRAMES"):
        mine = {"ARENAS": "_PLACES"}.get(name, f"_{name}")
        assert getattr(figures, mine) == int(defined[name].rstrip("u"))
    flags = re.findall(r"PUBLISH_ARENA_(\w+) = (\d+)", text)
    expected = [(name, 1 << bit) for bit, name in enumerate(figures.FLAGS)]
    names = {"side": "vmalloc"}
    assert expected == [(names.get(n.lower(), n.lower()), int(bit)) for n, bit in flags]


def test_random_bytes(monkeypatch: pytest.MonkeyPatch, whole: bytes) -> None:
    """Noise of any length, behind a header that is right or not, is refused."""
    monkeypatch.setattr(figures, "_TRIES", 1)
    draw = random.Random(1)
    for _ in range(300):
        noise = draw.randbytes(draw.randrange(3000))
        assert "refused" == _outcome(noise)
        assert "refused" == _outcome(whole[:128] + noise)


def test_changed_bytes(monkeypatch: pytest.MonkeyPatch, whole: bytes) -> None:
    """A changed byte in the header or in a picture in use is found; nothing ever crashes."""
    monkeypatch.setattr(figures, "_TRIES", 1)
    draw = random.Random(2)
    in_use = 128 + 16 + figures._PICTURE.size + 5 * figures._ZONE.size
    outcomes = set()
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 8))):
            at = draw.randrange(in_use) if draw.random() < 0.7 else draw.randrange(len(data))
            data[at] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
        outcomes.add(_outcome(bytes(data)))
    assert {"read", "refused"} == outcomes
    last = 128 + 15 * figures._ARENA_BYTES
    for cut in (0, 1, 127, 128, 1000, last, last + 100):
        assert "refused" == _outcome(whole[:cut])


def test_wrong_figures_with_a_right_sum(monkeypatch: pytest.MonkeyPatch, whole: bytes) -> None:
    """A hostile writer gets its sums right: pictures of absurd numbers are drawn or refused."""
    from pyslab._top.data import as_data
    from pyslab._top.processes import Seen
    from pyslab._top.view import View, plain

    monkeypatch.setattr(figures, "_TRIES", 1)
    draw = random.Random(3)
    drawn = 0
    for _ in range(300):
        words = [draw.choice((0, 1, 5, 1 << 40, (1 << 64) - 1)) for _ in range(24 + 80 + 2 * 12)]
        words[0], words[13], words[14], words[16] = 1, draw.randrange(7), 9, 2
        words[19] = draw.choice((1, 1, 1, 16, 17))
        site_words = figures._SITE_BYTES // 8
        site = [draw.getrandbits(64) for _ in range(site_words * words[19])]
        site[4::site_words] = [draw.randrange(10)] * words[19]
        for zone in range(5):
            words[24 + 16 * zone] = draw.randrange(6)
        for cache in range(2):
            words[104 + 12 * cache] = draw.getrandbits(64)
            words[104 + 12 * cache + 5] = draw.randrange(30) << 32 | draw.randrange(99)
        total = (sum(words) + sum(site)) % (1 << 64)
        place = struct.pack(f"={2 + len(words)}Q", 4, total, *words)
        place = place.ljust(figures._SITES_AT, b"\0") + struct.pack(f"={len(site)}Q", *site)
        data = (whole[:128] + place).ljust(figures._FILE_BYTES, b"\0")
        fd = _memory(data)
        try:
            found = read_figures(fd)
        except DamagedError:
            continue
        finally:
            os.close(fd)
        seen = Seen(1, "x", {1: found}, [])
        view = View("c", 1.0, seen)
        view.shows_sites = draw.random() < 0.5
        text = plain(view.lines(80, draw.choice((24, None))))
        assert all(len(line) <= 80 for line in text.splitlines())
        assert text.isprintable() or set(text) - set(filter(str.isprintable, text)) == {"\n"}
        as_data(view, seen)
        drawn += 1
    assert drawn > 10


def test_writer_stopped_in_the_middle(monkeypatch: pytest.MonkeyPatch, whole: bytes) -> None:
    """An odd sequence that stays is told."""
    monkeypatch.setattr(figures, "_TRIES", 2)
    fd = _memory(whole[:128] + struct.pack("=Q", 5) + whole[136:])
    try:
        with pytest.raises(DamagedError, match="stopped while it wrote"):
            read_figures(fd)
    finally:
        os.close(fd)


def test_another_version(whole: bytes) -> None:
    """Figures of another version are refused with a hint."""
    fd = _memory(whole[:8] + struct.pack("=Q", 7) + whole[16:])
    try:
        with pytest.raises(DamagedError, match="version 7, and this pyslab reads version 2"):
            read_figures(fd)
    finally:
        os.close(fd)


def test_any_bytes_as_a_table_of_holders() -> None:
    """A table of a shared heap that is none is left out."""
    draw = random.Random(4)
    for _ in range(300):
        header = [holders._MAGIC, *(draw.choice((0, 1, 1000, 1 << 17, 1 << 63)) for _ in range(16))]
        header[10] = 1000
        fd = _memory(struct.pack("=17Q", *header) + draw.randbytes(draw.randrange(2000)))
        try:
            holders.read_heap(fd)  # a Heap or None, no exception
        finally:
            os.close(fd)

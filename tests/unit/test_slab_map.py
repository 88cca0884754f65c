"""KmemCache.slab_map() and Arena.slab_map(): each object of each slab, and the lists."""

import xml.etree.ElementTree as ET

import pytest

import pyslab
from tests.conftest import ArenaFactory

SVG = "{http://www.w3.org/2000/svg}"


def test_lists_and_objects(make_arena: ArenaFactory) -> None:
    """Objects that callers have are live, others cached or free; slabs are on their lists."""
    arena = make_arena("4MiB")
    cache = arena.kmem_cache_create("node", 200)
    each = 20
    objects = [cache.alloc() for _ in range(3 * each)]
    for at in range(each + 3, each, -1):
        del objects[at]
    before = cache.slab_map()
    assert {"free": 0, "cached": 0, "live": 0} != before.counts
    assert len(objects) == before.counts["live"]
    assert 3 <= before.counts["cached"]  # in this thread's sheaf
    cache.shrink()
    found = cache.slab_map()
    assert ("node", 200, 200, 0, each) == found.cache
    assert len(objects) == found.counts["live"]
    assert 0 == found.counts["cached"]
    assert 3 == found.counts["free"]
    slabs = cache.slabs
    lists = [slab.list for slab in found.slabs]
    assert [slabs.partial, slabs.full, slabs.empty] == [
        lists.count(name) for name in ("partial", "full", "empty")
    ]
    assert [("partial", each - 3)] == [row[::2] for row in found.rows if row[0] == "partial"]
    addresses = {buffer.address for buffer in objects}
    shown = {
        arena.base + slab.pfn * 4096 + at * 200
        for slab in found.slabs
        for at, state in enumerate(slab.objects)
        if state == "live"
    }
    assert addresses == shown


def test_empty_slabs(make_arena: ArenaFactory) -> None:
    """A slab bought beforehand is on the empty list, and all of it is free."""
    arena = make_arena("4MiB", prealloc={100: 36})
    found = arena.slab_map("kmalloc-112")
    assert ["empty"] == [slab.list for slab in found.slabs]
    assert {"free": 36, "cached": 0, "live": 0} == found.counts


def test_refusals(make_arena: ArenaFactory) -> None:
    """Caches that are not there, destroyed ones, closed arenas."""
    arena = make_arena("1MiB")
    with pytest.raises(KeyError, match="no cache 'nix'"):
        arena.slab_map("nix")
    assert arena._slab_map(4000) is None
    assert arena._slab_map(1 << 40) is None
    cache = arena.kmem_cache_create("gone", 64)
    cache.destroy()
    with pytest.raises(ValueError, match="destroyed"):
        cache.slab_map()
    other = arena.kmem_cache_create("other", 64)
    arena.close()
    for call in (other.slab_map, lambda: arena.slab_map("other")):
        with pytest.raises(pyslab.ArenaClosedError):
            call()


def test_faces(make_arena: ArenaFactory) -> None:
    """The text whole; the picture has an object for each, and names each state that there is."""
    arena = make_arena("1MiB")
    cache = arena.kmem_cache_create("page", 1024)
    objects = cache.alloc_bulk(5)
    cache.shrink()
    found = cache.slab_map()
    pfns = [slab.pfn for slab in found.slabs]
    assert found.text(utf8=False).splitlines() == [
        "page: objects of 1024 bytes, 1024 apart; 16 in a slab of 16 KiB (order 2)",
        "partial: some of the objects are free; the next one comes from here; slabs: 1",
        f"{pfns[0]:>9} #####...........",
        "full: none of the objects is free in the slab; slabs: 0",
        "empty: all objects are free; such a slab may go back to the buddy; slabs: 0",
        "  . free in its slab: 11 objects",
        "  # in use: a caller has it: 5 objects",
    ]
    assert "\x1b[" in found.text(colour=True)
    root = ET.fromstring(found.svg())
    titles = [item.text or "" for item in root.iter(f"{SVG}title")]
    assert 16 == sum("object " in title and " of the slab at " in title for title in titles)
    words = [item.text or "" for item in root.iter(f"{SVG}text")]
    assert {"free in its slab", "in use: a caller has it"} <= set(words)
    assert "sheaf" not in "".join(words)
    assert found._repr_html_() == found.svg()
    del objects


@pytest.mark.parametrize(
    ("name", "shown", "plain", "in_xml"),
    [
        ("<>&\"'", "<>&\"'", "<>&\"'", "<>&\"'"),
        ("\x1b[31mred\x07", "?[31mred?", "?[31mred?", "\ufffd[31mred\ufffd"),
        ("\x01\ufffe", "??", "??", "\ufffd\ufffd"),
        ("\u202eçå", "?çå", "?\\xe7\\xe5", "\u202eçå"),
        ("]]>{x}%s", "]]>{x}%s", "]]>{x}%s", "]]>{x}%s"),
    ],
)
def test_hostile_names(
    make_arena: ArenaFactory, name: str, shown: str, plain: str, in_xml: str
) -> None:
    """No name of a cache drives the terminal, needs more than ASCII, or ends the picture's XML."""
    arena = make_arena("1MiB")
    cache = arena.kmem_cache_create(name, 64)
    held = cache.alloc()
    whole = arena.page_map()
    for text in (cache.slab_map().text, whole.text, arena.page_map(2).text):
        assert shown in text()
        assert text().replace("\n", "").isprintable()
        assert plain in text(utf8=False)
        assert text(utf8=False).isascii()
    for picture in (cache.slab_map().svg(), whole.svg(), whole.svg(layout="hilbert")):
        assert in_xml in "".join(ET.fromstring(picture).itertext())
    ET.fromstring(whole.svg(title=name + "\ud800"))
    assert [name] == list(whole.caches)
    del held


def test_many_slabs_are_cut_short(make_arena: ArenaFactory) -> None:
    """A list of very many slabs is counted whole, and drawn in part."""
    arena = make_arena("4MiB")
    cache = arena.kmem_cache_create("many", 2048)
    objects = cache.alloc_bulk(400)
    found = cache.slab_map()
    assert "more slabs" in found.text()
    assert "more slabs" in found.svg()
    assert 400 == found.counts["live"]
    del objects

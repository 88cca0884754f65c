"""arena.metrics(): the text that Prometheus reads, checked by the format's own grammar."""

import re
from typing import NamedTuple

import pytest

import pyslab
from tests.conftest import ArenaFactory

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_HELP = re.compile(rf"# HELP ({_NAME}) (.+)")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (counter|gauge|histogram|summary|untyped)")
_SAMPLE = re.compile(rf"({_NAME})\{{({_LABEL}(?:,{_LABEL})*)\}} (-?[0-9]+(?:\.[0-9]+)?)")


class Family(NamedTuple):
    """What the text says of one name."""

    kind: str
    meaning: str
    samples: dict[str, float]


def parse(text: str) -> dict[str, Family]:
    """Read a text by the rules of the format 0.0.4: HELP and TYPE first, no line twice."""
    assert text.endswith("\n")
    found: dict[str, Family] = {}
    meaning: tuple[str, str] = ("", "")
    for line in text[:-1].split("\n"):
        if match := _HELP.fullmatch(line):
            meaning = match[1], match[2]
            assert meaning[0] not in found
        elif match := _TYPE.fullmatch(line):
            assert match[1] == meaning[0]
            found[match[1]] = Family(match[2], meaning[1], {})
        else:
            match = _SAMPLE.fullmatch(line)
            assert match is not None, line
            assert match[1] == list(found)[-1]  # samples of a family stand together
            assert match[2] not in found[match[1]].samples
            found[match[1]].samples[match[2]] = float(match[3])
    return found


def test_the_format(arena: pyslab.Arena) -> None:
    """Each line follows the grammar; names have units, and counters end with _total."""
    kept = arena.kmalloc(1000)
    families = parse(arena.metrics())
    assert len(families) > 30
    for name, family in families.items():
        assert name.startswith("pyslab_")
        assert "_pages" not in name
        assert (family.kind == "counter") == name.endswith("_total")
        assert family.samples
        assert family.meaning.endswith(".")
        assert all(value >= 0 for value in family.samples.values())
    del kept


def test_the_figures(make_arena: ArenaFactory) -> None:
    """They are those of stats(), caches() and zone_stats(); frames are bytes."""
    arena = make_arena("16MiB")
    cache = arena.kmem_cache_create("connections", 300)
    held = [cache.alloc(), arena.kmalloc(5000)]
    page = arena.alloc_pages(1)
    stats, families = arena.stats(), parse(arena.metrics("main"))

    def value(name: str, labels: str = 'arena="main"') -> float:
        return families[f"pyslab_{name}"].samples[labels]

    assert value("size_bytes") == stats.size_bytes == 16 << 20
    assert value("free_bytes") == stats.free_pages * 4096
    assert value("block_bytes") == 2 * 4096
    assert value("handles") == 3
    assert value("objects_allocated_total") == stats.total_objects
    assert value("released_bytes_total") == stats.pages_released * 4096
    labels = 'arena="main",cache="connections"'
    assert value("cache_live_objects", labels) == 1
    assert value("cache_live_bytes", labels) == 300
    assert value("cache_slab_bytes", labels) >= 4096
    zone = arena.zone_stats()[0]
    assert value("zone_free_bytes", f'arena="main",zone="{zone.name}"') == zone.free_pages * 4096
    arena.put_page(page)
    del held


def test_several_arenas(make_arena: ArenaFactory) -> None:
    """One family for all, with a sample for each; names are quoted."""
    first, second = make_arena("16MiB"), make_arena("32MiB")
    families = parse(pyslab.metrics(**{"first": first, 'a "b"\\\n': second}))
    samples = families["pyslab_size_bytes"].samples
    assert {'arena="first"': 16 << 20, r'arena="a \"b\"\\\n"': 32 << 20} == samples


def test_caches_of_one_name(make_arena: ArenaFactory) -> None:
    """They are one series, with the sums: Prometheus refuses a series that is there twice."""
    arena = make_arena("16MiB")
    caches = [arena.kmem_cache_create("node", size) for size in (64, 256)]
    held = [cache.alloc() for cache in caches]
    samples = parse(arena.metrics("a"))["pyslab_cache_live_bytes"].samples
    assert 64 + 256 == samples['arena="a",cache="node"']
    del held


def test_prometheus_reads_it(make_arena: ArenaFactory) -> None:
    """Its own parser finds each name as it was given, however hostile."""
    parser = pytest.importorskip("prometheus_client.parser")
    arena = make_arena("16MiB")
    names = ["<>&'\"", "a\\b", "\x1b[31m\x01", "\u20ac{}", 'x"} 1 #']
    names = [name.replace(" ", "_") for name in names]
    held = [arena.kmem_cache_create(name, 64).alloc() for name in names]
    families = list(parser.text_string_to_metric_families(arena.metrics('m"\\\n')))
    (live,) = [family for family in families if family.name == "pyslab_cache_live_objects"]
    assert {('m"\\\n', name) for name in names} <= {
        (sample.labels["arena"], sample.labels["cache"]) for sample in live.samples
    }
    del held


def test_what_is_refused(make_arena: ArenaFactory) -> None:
    """No arena, no arena at all, and one that is closed."""
    with pytest.raises(TypeError, match="needs arenas by name"):
        pyslab.metrics()
    with pytest.raises(TypeError, match=r"x is a pyslab\.Arena, not int"):
        pyslab.metrics(x=5)  # type: ignore[arg-type]
    arena = make_arena("16MiB")
    arena.close()
    with pytest.raises(pyslab.ArenaClosedError):
        arena.metrics()

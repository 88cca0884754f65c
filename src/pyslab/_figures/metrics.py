"""Figures of arenas as Prometheus reads them: its text exposition format, version 0.0.4.

What it is: one family of metrics for each figure, with a sample for each arena. Names end with
their unit (``_bytes``, ``_total`` of what only grows); frames are told as bytes.
What it is not: a server. ``prometheus_client`` or any handler of HTTP sends the text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from pyslab import _hints as hints
from pyslab._core import ArenaBase
from pyslab.watermarks import PAGE_SIZE

__all__ = ["metrics"]

# Figures that have another name here; of all others the name is made of the field's.
_NAMES = {
    "current_count": "handles",
    "current_bytes": "handle_bytes",
    "total_count": "handles_made_total",
    "nr_caches": "caches",
    "large_count": "large_blocks",
    "total_objects": "objects_allocated_total",
    "total_fallbacks": "fallbacks_total",
    "page_allocs": "page_blocks_allocated_total",
    "page_frees": "page_blocks_freed_total",
    "alloc_failures": "alloc_failures_total",
    "pages_cleared": "cleared_bytes_total",
    "pages_known_zero": "known_zero_bytes_total",
    "pages_released": "released_bytes_total",
}
_OF_CACHES = {
    "live_objects": "Slab objects of the cache in callers' hands.",
    "live_bytes": "Bytes of these, each of the cache's size.",
    "cached_objects": "Free objects of the cache in sheaves and the barn.",
    "slab_bytes": "Bytes of the cache's slabs.",
    "objects_allocated_total": "Objects of the cache handed out since its creation.",
}
_OF_ZONES = {
    "managed_bytes": "Bytes of the frames that the zone manages.",
    "free_bytes": "Bytes of its free frames in the buddy.",
    "dirty_free_bytes": "Bytes of its free frames that are resident, with old content.",
    "low_watermark_bytes": "Below so many free bytes background reclaim starts in the zone.",
    "allocated_bytes_total": "Bytes of frames taken from the zone since its creation.",
    "freed_bytes_total": "Bytes of frames given back to the zone since its creation.",
    "stalls_total": "Direct reclaims of requests for the zone.",
}

Sample = tuple[dict[str, str], int]


def _name(field: str) -> str:
    if field in _NAMES:
        return _NAMES[field]
    return field.removesuffix("_pages") + "_bytes" if field.endswith("_pages") else field


def _meanings(record: type) -> dict[str, str]:
    """Return what the docstring of a record says of each field, in one line."""
    found: dict[str, str] = {}
    field = ""
    for line in (record.__doc__ or "").splitlines():
        name, colon, text = line.strip().partition(": ")
        if colon and name in getattr(record, "__dataclass_fields__", {}):
            field = name
            found[field] = text
        elif field and line.startswith("      "):
            found[field] += " " + line.strip()
        else:
            field = ""
    return found


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _family(name: str, meaning: str, samples: Iterable[Sample]) -> Iterator[str]:
    kind = "counter" if name.endswith("_total") else "gauge"
    yield f"# HELP pyslab_{name} {meaning}"
    yield f"# TYPE pyslab_{name} {kind}"
    for labels, value in samples:
        text = ",".join(f'{key}="{_quoted(label)}"' for key, label in labels.items())
        yield f"pyslab_{name}{{{text}}} {value}"


def _arena_families(arenas: dict[str, hints.Arena]) -> Iterator[str]:
    stats = {name: arena.stats() for name, arena in arenas.items()}
    record = type(next(iter(stats.values())))
    meanings = _meanings(record)
    for field in dataclasses.fields(record):
        in_frames = field.name.endswith("_pages") or field.name.startswith("pages_")
        scale = PAGE_SIZE if in_frames else 1
        meaning = meanings[field.name].replace("Frames", "Bytes of frames", 1)
        yield from _family(
            _name(field.name),
            meaning if in_frames else meanings[field.name],
            (({"arena": name}, scale * getattr(one, field.name)) for name, one in stats.items()),
        )


def _cache_samples(arenas: dict[str, hints.Arena]) -> Iterator[tuple[dict[str, str], list[int]]]:
    for name, arena in arenas.items():
        sums: dict[str, list[int]] = {}  # caches may have one name, series of Prometheus may not
        for cache in arena.caches():
            slabs = cache.nr_full + cache.nr_partial + cache.nr_empty
            if slabs or cache.total_allocs:  # kmalloc has dozens that nobody has used
                values = [
                    *(cache.live_objects, cache.live_objects * cache.object_size),
                    *(cache.cached_objects, slabs * PAGE_SIZE << cache.slab_order),
                    cache.total_allocs,
                ]
                before = sums.get(cache.name, [0] * len(values))
                sums[cache.name] = [a + b for a, b in zip(before, values, strict=True)]
        for of, values in sums.items():
            yield {"arena": name, "cache": of}, values


def _zone_samples(arenas: dict[str, hints.Arena]) -> Iterator[tuple[dict[str, str], list[int]]]:
    for name, arena in arenas.items():
        for zone in arena.zone_stats():
            frames = (
                *(zone.nr_pages, zone.free_pages, zone.dirty_free_pages, zone.watermark_low),
                *(zone.pages_allocated, zone.pages_freed),
            )
            values = [PAGE_SIZE * nr for nr in frames]
            yield {"arena": name, "zone": zone.name}, [*values, zone.nr_stalls]


def _columns(
    prefix: str, names: dict[str, str], samples: Iterable[tuple[dict[str, str], list[int]]]
) -> Iterator[str]:
    rows = list(samples)
    for index, (name, meaning) in enumerate(names.items()):
        yield from _family(prefix + name, meaning, ((row[0], row[1][index]) for row in rows))


def metrics(**arenas: hints.Arena) -> str:
    """Return the figures of arenas, each by the name it is given, as text for Prometheus.

    The name is the label ``arena``. stats(), caches() that were ever used, and zones are in it.

    >>> text = pyslab.metrics(images=arena)
    >>> [line for line in text.splitlines() if line.startswith("pyslab_size_bytes")]
    ['pyslab_size_bytes{arena="images"} 67108864']

    Raises ArenaClosedError; TypeError without an arena, or for what is none.
    """
    if not arenas:
        raise TypeError("metrics() needs arenas by name: pyslab.metrics(images=arena)")
    for name, arena in arenas.items():
        if not isinstance(arena, ArenaBase):
            raise TypeError(f"{name} is a pyslab.Arena, not {type(arena).__name__}")
    lines = [
        *_arena_families(arenas),
        *_columns("cache_", _OF_CACHES, _cache_samples(arenas)),
        *_columns("zone_", _OF_ZONES, _zone_samples(arenas)),
    ]
    return "\n".join(lines) + "\n"

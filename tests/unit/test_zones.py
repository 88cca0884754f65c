"""Zones: layouts that hold together, those that are refused, and the choice by gfp."""

import dataclasses
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslab import GFP
from pyslab.zones import PAGE_SIZE, ZONE_NAMES, Zone, ZoneLayout, gfp_zone_index

MIB = 1 << 20
BAD_BITS = (0x3, 0x5, 0x6, 0x7, 0xB, 0xD, 0xE, 0xF)


def _shape(layout: ZoneLayout) -> list[tuple[str, int, int]]:
    """Return name, first frame and end frame of each zone."""
    return [(zone.name, zone.start_pfn, zone.end_pfn) for zone in layout.zones]


def test_zone() -> None:
    """A zone knows its end, its bytes and whether its frames have an address."""
    zone = Zone("NORMAL", 16, 48)
    assert (64, 48 * PAGE_SIZE, False) == (zone.end_pfn, zone.nbytes, zone.is_high)
    high = {name for name in ZONE_NAMES if Zone(name, 0, 1).is_high}
    assert {"HIGHMEM", "MOVABLE"} == high


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Zone("Normal", 0, 1), ValueError, "a zone is one of DMA.* not 'Normal'"),
        (lambda: Zone("NORMAL", -1, 1), ValueError, "negative frame, -1"),
        (lambda: Zone("NORMAL", 0, 0), ValueError, "at least one frame, got 0"),
        (lambda: Zone("NORMAL", 0, -5), ValueError, "at least one frame, got -5"),
        (lambda: Zone("NORMAL", 0, True), TypeError, "must be an int, not True"),
        (lambda: Zone("NORMAL", False, 1), TypeError, "must be an int, not False"),
        (lambda: Zone("NORMAL", 0, 1.0), TypeError, "not float"),  # type: ignore[arg-type]
        (lambda: Zone("NORMAL", 0, GFP.KERNEL), TypeError, "must be an int"),
    ],
)
def test_refused_zones(make: Callable[[], Zone], error: type[Exception], message: str) -> None:
    """What cannot be a zone says why."""
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("zones", "message"),
    [
        ([], "needs a zone with addresses"),
        ([("HIGHMEM", 0, 4)], "needs a zone with addresses"),
        ([("HIGHMEM", 0, 4), ("MOVABLE", 4, 4)], "needs a zone with addresses"),
        ([("NORMAL", 1, 4)], "starts at frame 0, not 1"),
        ([("NORMAL", 0, 4), ("NORMAL", 4, 4)], "appears twice"),
        ([("NORMAL", 0, 4), ("DMA", 4, 4)], "in the order"),
        ([("DMA", 0, 4), ("NORMAL", 3, 4)], "DMA and NORMAL overlap: frame 4 against 3"),
        ([("DMA", 0, 4), ("NORMAL", 5, 4)], "DMA and NORMAL leave a gap: frame 4 against 5"),
    ],
)
def test_refused_layouts(zones: list[tuple[str, int, int]], message: str) -> None:
    """Zones that do not cover the frames, each once and in order, are refused."""
    with pytest.raises(ValueError, match=message):
        ZoneLayout(tuple(Zone(*zone) for zone in zones))


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        ({"min_free_kbytes": -1}, ValueError),
        ({"min_free_kbytes": True}, TypeError),
        ({"min_free_kbytes": "1"}, TypeError),
        ({"watermark_scale_factor": -1}, ValueError),
        ({"watermark_scale_factor": None}, TypeError),
        ({"nr_cpus": 0}, ValueError),
        ({"nr_cpus": 1.5}, TypeError),
        ({"lowmem_reserve_ratio": (1, 2, 3)}, ValueError),
        ({"lowmem_reserve_ratio": (1, 2, 3, 4, -5)}, ValueError),
        ({"lowmem_reserve_ratio": {"DMA": False}}, TypeError),
        ({"lowmem_reserve_ratio": {"Normal": 32}}, ValueError),
        ({"unknown": 1}, TypeError),
    ],
)
def test_refused_settings(policy: dict[str, object], error: type[Exception]) -> None:
    """Settings out of range, of another type or of another name are refused."""
    with pytest.raises(error):
        ZoneLayout.flat("1MiB", **policy)


def test_members_are_zones() -> None:
    """A layout of anything else is a TypeError."""
    with pytest.raises(TypeError, match="made of Zones, not tuple"):
        ZoneLayout((("NORMAL", 0, 1),))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [64 * MIB, "64MiB", "65536KiB"])
def test_flat(size: int | str) -> None:
    """One NORMAL zone has it all."""
    layout = ZoneLayout.flat(size)
    assert [("NORMAL", 0, 16384)] == _shape(layout)
    assert (16384, 64 * MIB) == (layout.nr_pages, layout.nbytes)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("4KiB", [("DMA", 0, 1)]),
        ("16MiB", [("DMA", 0, 4096)]),
        ("20MiB", [("DMA", 0, 4096), ("NORMAL", 4096, 5120)]),
        ("896MiB", [("DMA", 0, 4096), ("NORMAL", 4096, 229376)]),
        ("1GiB", [("DMA", 0, 4096), ("NORMAL", 4096, 229376), ("HIGHMEM", 229376, 262144)]),
    ],
)
def test_i386(size: str, expected: list[tuple[str, int, int]]) -> None:
    """Zones end at 16 and 896 MiB; those beyond size are absent and the last is cut."""
    assert expected == _shape(ZoneLayout.i386(size))


@pytest.mark.parametrize("scale", [Fraction(1, 64), 1 / 64])
def test_i386_scaled(scale: float | Fraction) -> None:
    """A 64th of the machine has the same shape: 64, 3584 and 4096 frames."""
    expected = [("DMA", 0, 64), ("NORMAL", 64, 3584), ("HIGHMEM", 3584, 4096)]
    assert expected == _shape(ZoneLayout.i386("16MiB", scale))
    assert expected == _shape(ZoneLayout.i386("16MiB", scale, nr_cpus=3, min_free_kbytes=8))


@pytest.mark.parametrize(
    "scale", [0, -1, Fraction(1, 4097), 1e-9, float("nan"), float("inf"), 1e308, 10**400]
)
def test_i386_refuses_scales(scale: float | Fraction) -> None:
    """A scale is positive, finite and leaves DMA a frame."""
    with pytest.raises(ValueError, match="scale"):
        ZoneLayout.i386("1GiB", scale)


@pytest.mark.parametrize("scale", [True, "1", None])
def test_i386_scale_is_a_number(scale: object) -> None:
    """A scale of another type is a TypeError."""
    with pytest.raises(TypeError, match="scale must be a number"):
        ZoneLayout.i386("1GiB", scale)  # type: ignore[arg-type]


def test_custom() -> None:
    """Ends as a mapping or as pairs, ints or strings."""
    expected = [("DMA", 0, 256), ("HIGHMEM", 256, 1024), ("MOVABLE", 1024, 1025)]
    ends: dict[str, int | str] = {"DMA": "1MiB", "HIGHMEM": 4 * MIB, "MOVABLE": "4100KiB"}
    assert expected == _shape(ZoneLayout.custom(ends))
    assert expected == _shape(ZoneLayout.custom(list(ends.items())))


@pytest.mark.parametrize(
    ("boundaries", "message"),
    [
        ([("DMA", 4097)], "multiple of 4096"),
        ([("DMA", "1MB")], "multiple of 4096 bytes, got '1MB'"),
        ([("DMA", 0)], "at least 1"),
        ([("DMA", -4096)], "at least 1"),
        ([("DMA", "1MiB"), ("NORMAL", "1MiB")], "zone NORMAL needs at least one frame"),
        ([("DMA", "2MiB"), ("NORMAL", "1MiB")], "zone NORMAL needs at least one frame"),
        ([("DMA", "2MiB"), ("DMA", "3MiB")], "appears twice"),
        ([("DMA", "pages")], "byte specification"),
    ],
)
def test_custom_refuses(boundaries: list[tuple[str, int | str]], message: str) -> None:
    """Ends are whole frames and grow."""
    with pytest.raises(ValueError, match=message):
        ZoneLayout.custom(boundaries)


def test_layouts_are_values() -> None:
    """A layout is frozen, compares by contents and can be a key."""
    layout = ZoneLayout.i386("1GiB", lowmem_reserve_ratio={"DMA": 128})
    twin = ZoneLayout.i386("1GiB", lowmem_reserve_ratio=(128, 256, 32, 0, 0))
    assert {layout: 1} == {twin: 1}
    assert layout != ZoneLayout.i386("1GiB")
    with pytest.raises(dataclasses.FrozenInstanceError):
        layout.zones = ()  # type: ignore[misc]


@settings(deadline=None)  # the machine may be busy
@given(
    names=st.sets(st.sampled_from(ZONE_NAMES), min_size=1),
    sizes=st.lists(st.integers(1, 1 << 20), min_size=5, max_size=5),
)
def test_custom_covers_every_frame(names: set[str], sizes: list[int]) -> None:
    """Any kinds in order and any growing ends make a layout without gap or overlap."""
    ordered = sorted(names, key=ZONE_NAMES.index)
    ends = [sum(sizes[: index + 1]) for index in range(len(ordered))]
    boundaries = [(name, end * PAGE_SIZE) for name, end in zip(ordered, ends, strict=True)]
    if names <= {"HIGHMEM", "MOVABLE"}:
        with pytest.raises(ValueError, match="addresses"):
            ZoneLayout.custom(boundaries)
        return
    layout = ZoneLayout.custom(boundaries)
    assert ends == [zone.end_pfn for zone in layout.zones]
    assert layout.nr_pages == ends[-1] == sum(zone.nr_pages for zone in layout.zones)


# --- the choice by gfp ----------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "kind"),
    [
        *((0x0, "NORMAL"), (0x1, "DMA"), (0x2, "HIGHMEM"), (0x4, "DMA32")),
        *((0x8, "NORMAL"), (0x9, "DMA"), (0xA, "MOVABLE"), (0xC, "DMA32")),
    ],
)
def test_gfp_table(bits: int, kind: str) -> None:
    """The eight good rows of the kernel's table, whatever the other bits are."""
    assert kind == ZONE_NAMES[gfp_zone_index(bits, ZONE_NAMES)]
    assert kind == ZONE_NAMES[gfp_zone_index(GFP.KERNEL | GFP(bits), ZONE_NAMES)]


@pytest.mark.parametrize("bits", BAD_BITS)
def test_gfp_bad_rows(bits: int) -> None:
    """The eight bad rows are refused, also where there is one zone only."""
    for names in (ZONE_NAMES, ("NORMAL",)):
        with pytest.raises(ValueError, match="more than one kind"):
            gfp_zone_index(bits, names)


@pytest.mark.parametrize(
    ("names", "by_bits"),
    [
        (("NORMAL",), {0: 0, 1: 0, 2: 0, 4: 0, 8: 0, 9: 0, 0xA: 0, 0xC: 0}),
        (("DMA", "NORMAL", "HIGHMEM"), {0: 1, 1: 0, 2: 2, 4: 1, 8: 1, 9: 0, 0xA: 2, 0xC: 1}),
        (("NORMAL", "MOVABLE"), {0: 0, 1: 0, 2: 0, 4: 0, 8: 0, 9: 0, 0xA: 1, 0xC: 0}),
        (("DMA", "HIGHMEM"), {0: 0, 1: 0, 2: 1, 4: 0, 8: 0, 9: 0, 0xA: 1, 0xC: 0}),
        (("DMA", "DMA32"), {0: 1, 1: 0, 2: 1, 4: 1, 8: 1, 9: 0, 0xA: 1, 0xC: 1}),
        (("DMA32", "MOVABLE"), {0: 0, 1: 0, 2: 0, 4: 0, 8: 0, 9: 0, 0xA: 1, 0xC: 0}),
        (("HIGHMEM",), {0: 0, 2: 0, 0xA: 0}),
    ],
)
def test_gfp_missing_kinds(names: tuple[str, ...], by_bits: dict[int, int]) -> None:
    """Missing kinds fall to NORMAL, MOVABLE to HIGHMEM first, NORMAL to what is below."""
    assert by_bits == {bits: gfp_zone_index(bits, names) for bits in by_bits}


def test_gfp_without_zones() -> None:
    """No names, no zone."""
    with pytest.raises(ValueError, match="no zone"):
        gfp_zone_index(0, ())

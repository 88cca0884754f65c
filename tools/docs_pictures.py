"""Makes the pictures of docs/: docs/pictures/*.svg. ``make docs-pictures`` runs it.

With rsvg-convert on the machine it makes PNGs of them too, in build/pictures, to look at.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyslab
from pyslab import GFP, ZoneLayout

REPO = Path(__file__).resolve().parent.parent


def frames() -> str:
    """An arena with three zones and something of everything."""
    choose = random.Random(1)
    layout = ZoneLayout.custom([("DMA", "1MiB"), ("NORMAL", "3MiB"), ("HIGHMEM", "4MiB")])
    arena = pyslab.Arena(layout.nbytes, zones=layout, hugepages="no", purge_delay=None)
    objects = [arena.kmalloc(choose.choice([24, 100, 100, 500, 3000])) for _ in range(900)]
    choose.shuffle(objects)
    del objects[300:]
    pages = [arena.alloc_pages(choose.randrange(4)) for _ in range(30)]
    choose.shuffle(pages)
    del pages[14:]
    held: list[object] = [arena.kmalloc(70_000)]
    high = [arena.alloc_pages(1, gfp=GFP.HIGHUSER) for _ in range(6)]
    held += [arena.vmalloc(40_000), arena.kmap(high[2])]
    return arena.page_map().svg()


def large() -> str:
    """An arena of 1 GiB that was used a good deal, and lost much of it again."""
    choose = random.Random(3)
    arena = pyslab.Arena("1GiB", overcommit=True, hugepages="no", purge_delay=None)
    sizes = [24, 100, 500, 3000, 9000, 200_000, 700_000]
    objects = [arena.kmalloc(choose.choice(sizes)) for _ in range(3000)]
    choose.shuffle(objects)
    del objects[1200:]
    pages = [arena.alloc_pages(choose.randrange(8)) for _ in range(1500)]
    choose.shuffle(pages)
    del pages[800:]
    return arena.page_map(8).svg()


def objects() -> str:
    """A cache whose objects went in no order."""
    choose = random.Random(2)
    arena = pyslab.Arena("4MiB", hugepages="no", purge_delay=None)
    cache = arena.kmem_cache_create("inode", 150)
    kept = cache.alloc_bulk(26 * 9)
    for at in sorted(choose.sample(range(26 * 3), 50), reverse=True):
        del kept[at]
    cache.shrink()
    del kept[-70:]
    return cache.slab_map().svg()


PICTURES: dict[str, Callable[[], str]] = {"frames": frames, "large": large, "objects": objects}


def make(folder: Path) -> Iterator[Path]:
    """Write every picture to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        path = folder / f"{name}.svg"
        path.write_text(draw(), encoding="utf-8")
        yield path


def main() -> None:
    """Write them to docs/pictures, or to the folder that is named."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else REPO / "docs" / "pictures"
    shown = REPO / "build" / "pictures"
    convert = shutil.which("rsvg-convert")
    for path in make(folder):
        print(path)
        if convert is not None:
            shown.mkdir(parents=True, exist_ok=True)
            image = shown / f"{path.stem}.png"
            subprocess.run([convert, str(path), "-o", str(image)], check=True)


if __name__ == "__main__":
    main()

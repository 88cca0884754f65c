"""Tokenize files, or a made-up text: `python -m string_store [file ...]`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from string_store import StringStore


def _texts() -> list[str]:
    if sys.argv[1:]:
        return [Path(name).read_text(encoding="utf-8") for name in sys.argv[1:]]
    return [" ".join(f"word{n * n % 1009}" for n in range(d, d + 500)) for d in range(200)]


def main() -> None:
    """Print what there is, and that a zone leaves nothing behind."""
    texts, store = _texts(), StringStore()
    began = time.perf_counter()
    nr_tokens = sum(len(store.tokenize(text)) for text in texts)
    seconds = time.perf_counter() - began
    words, used = len(store), store.nbytes
    print(f"{nr_tokens} tokens, {words} words, {seconds / max(nr_tokens, 1) * 1e9:.0f} ns a token")
    print(f"{used['used']} bytes of strings in {used['reserved']}, {used['tables']} of tables")
    with store.memory_zone():
        store.tokenize(" ".join(f"passing{n}" for n in range(100_000)))
        print(f"in a zone: {len(store)} words, {store.nbytes['used']} bytes")
    assert (words, used["used"]) == (len(store), store.nbytes["used"])
    print(f"after it:  {len(store)} words, {store.nbytes['used']} bytes")


if __name__ == "__main__":
    main()

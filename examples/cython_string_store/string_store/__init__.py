"""Each distinct string once, under a small number: what a tokenizer keeps its words in."""

from ._store import StringStore

__all__ = ["StringStore"]

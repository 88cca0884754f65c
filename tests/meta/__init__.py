"""Tests of the source tree itself: layers, exports, ABI, documents, types."""

"""Misuse and exhaustion: nothing here may crash the interpreter or leak a frame."""

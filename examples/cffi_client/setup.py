"""The cffi module; what is fixed is in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["build_journal.py:ffibuilder"])

"""The extension; what is fixed is in pyproject.toml."""

from setuptools import Extension, setup

import pyslab

setup(ext_modules=[Extension("hashmap", ["hashmap.c"], include_dirs=[pyslab.get_include()])])

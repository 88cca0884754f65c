"""The extension: Cython finds pyslab's declarations by itself, the compiler its header here."""

from Cython.Build import cythonize
from setuptools import Extension, setup

import pyslab

setup(
    ext_modules=cythonize(
        [
            Extension(
                "string_store._store",
                ["string_store/_store.pyx"],
                include_dirs=[pyslab.get_include()],
            )
        ],
        language_level=3,
    )
)

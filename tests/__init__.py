"""The Python test suite of pyslab; a package, so that folders share tests.utils and tests.model."""

"""What the sections of the benchmark share: timing, the C driver, results, tables, verdicts.

Nothing here knows a section; `pyslab.bench.sections` knows this package.
"""

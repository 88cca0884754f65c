"""How Dask's workers of one machine send arrays as handles: docs/scale-out.md, pyslab.dask."""

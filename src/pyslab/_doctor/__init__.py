"""What `pyslab doctor` looks at: what the system offers (machine.py), and what stands in the way
of a program (process.py)."""

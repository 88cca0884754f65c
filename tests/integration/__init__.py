"""pyslab together with threads, fork, NumPy, the operating system and the command line."""

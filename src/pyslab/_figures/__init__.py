"""What is told about memory in use: records, pictures, the profiler.

No module here is imported by ``import pyslab``: each costs milliseconds (dataclasses), which a
program that asks for no figures does not pay.
"""

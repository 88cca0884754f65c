"""Where memory comes from: a sampled profile of it, by the places in the program.

records.py what a profile is made of; raw.py the file that the core writes (csrc/profile/raw.h);
symbols.py names of C functions; pprof.py, collapsed.py and table.py the formats, which formats.py
chooses; block.py ``pyslab.profile``; environment.py ``PYSLAB_PROFILE``; command.py ``pyslab
profile``. Not here: which allocations are samples (csrc/profile/sampler.c).
"""

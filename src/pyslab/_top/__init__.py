"""What `pyslab top` is made of; pyslab.top has its command line."""

"""Recording and replaying what a program asks of malloc: the parts of two commands."""

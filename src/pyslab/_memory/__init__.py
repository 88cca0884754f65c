"""What an arena's memory is handed out as, where that is Python: rings, windows, flags."""

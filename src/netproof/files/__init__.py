"""Files as the program reads and writes them: opening, locks, writing that survives a kill, digests, downloads."""

"""What each runtime computes, bit for bit: how it rounds, how it adds, its tables. One name for each."""

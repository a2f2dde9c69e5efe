"""Questions about images, as people ask them: which images, how they become inputs, what a radius means."""

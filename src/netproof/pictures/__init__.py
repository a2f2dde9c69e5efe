"""Arrays as images: their axes, what differs between two, and how they are shown in a notebook."""

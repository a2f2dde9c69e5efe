"""What bounds features of a ReLU in another way than each alone: planes above them, pairs of them, and sets of both."""

"""Error measures against synthetic ground truth, and the ``im2hands evaluate`` commands that print them."""

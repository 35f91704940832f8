"""Development tools: scene synthesis, data sets, training, evaluation, benchmarks.

Only the ``im2hands`` commands for these tools import this package; the rest of the program does not.
"""

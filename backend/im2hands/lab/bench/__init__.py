"""Helpers of tests and benchmarks: generated networks, scenes and clips, and measures of motions and surfaces."""

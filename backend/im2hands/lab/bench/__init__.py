"""What only tests and benchmarks call: networks, scenes and clips made on the spot, and figures."""

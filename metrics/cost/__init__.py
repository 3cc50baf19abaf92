"""Cost of a network: latency, memory, FLOPs, energy, roofline."""

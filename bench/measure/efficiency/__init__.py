"""Cost of an arm: latency, memory, FLOPs and energy, in one process per arm, all arms taking turns."""

"""Music of an arm: training, sampling, and the metrics of what it generated."""

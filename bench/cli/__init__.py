"""The command line: `smdim-bench` and `python -m bench`."""

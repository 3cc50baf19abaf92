"""`python -m bench` is the same as `smdim-bench`."""

from bench.cli import main

if __name__ == "__main__":
    main()

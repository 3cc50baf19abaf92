"""What the process of a cell imports before it begins."""

import subprocess
import sys


def test_a_cell_does_not_wait_for_distributions_that_it_never_uses() -> None:
    code = "import sys, bench.measure.quality.cell; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Importing the arms is quick: every command that plans does it."""

import subprocess
import sys


def test_the_compiler_is_not_imported_with_the_arms() -> None:
    code = "import sys, architectures; print('torch._dynamo' in sys.modules, 'sympy' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"

"""The command line: `smdim-bench`, the same as `python -m bench`.

What is slow to import (torch, miditok, seaborn) is imported inside the command that needs it.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

import typer

from bench.child import WAITING
from bench.cli import (
    architectures,
    bundles,
    claims,
    corpus,
    doctor,
    generate,
    listing,
    metrics,
    planning,
    profile,
    report,
    run,
    status,
    train,
)
from bench.cli.terminal import prepare_streams, say
from bench.errors import UserError

INTERRUPTED = 130  # exit code of a program ended by Ctrl-C
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# what a path given by the user can be, or refuse; any other OSError is ours and keeps its traceback
PATH_TROUBLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG)

app = typer.Typer(
    name="smdim-bench",
    help="Benchmark and ablate denoisers for symbolic-music diffusion. Start with: smdim-bench run quickstart",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "retry": run.retry,
    "status": status.status,
    "logs": status.logs,
    "diff": status.diff,
    "plan": planning.plan,
    "schema": planning.schema,
    "export": bundles.export,
    "import": bundles.import_,
    "list": listing.list_topics,
    "report": report.report,
    "figure": report.figure,
    "cite": report.cite,
    "compare": report.compare,
    "claims": claims.claims,
    "metrics": metrics.measure,
    "sensitivity": metrics.sensitivity,
    "patterns": architectures.patterns,
    "check": architectures.check,
    "train": train.train,
    "generate": generate.generate,
    "profile": profile.profile,
    "doctor": doctor.doctor,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(corpus.commands, name="corpus")


def main() -> None:
    """Run a command; an error that the user can correct ends in one line on stderr and exit code 2."""
    prepare_streams()
    os.environ.update({name: value for name, value in WAITING.items() if name not in os.environ})
    try:
        app()
    except UserError as error:
        _end(str(error), 2)
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        _end("interrupted; what was finished is kept, the same command goes on from there", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno in NO_SPACE:
            _end(f"no space left to write {error.filename or 'results'}; free some and run the same command again", 2)
        if error.errno in PATH_TROUBLE and error.filename:
            _end(f"{error.filename}: {(error.strerror or 'cannot be used').lower()}", 2)
        raise


def _end(message: str, code: int) -> None:
    say(f"smdim-bench: {message}", error=True)
    sys.exit(code)

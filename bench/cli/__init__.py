"""The command line: `smdim-bench`, the same as `python -m bench`.

What is slow to import (torch, miditok, seaborn) is imported inside the command that needs it.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

import typer

from bench.child import WAITING, unusable_threads
from bench.cli import (
    architectures,
    bundles,
    card,
    claims,
    corpus,
    doctor,
    generate,
    listen,
    listing,
    merge,
    metrics,
    planning,
    profile,
    report,
    run,
    status,
    train,
)
from bench.cli.terminal import prepare_streams, print_line, run_in_utf8
from bench.errors import UserError

ENDED_BY_SIGNAL = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # exit codes, as shells state them
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# what a path given by the user can be, or refuse; any other OSError is ours and keeps its traceback
PATH_TROUBLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY,
    errno.ENAMETOOLONG,
)  # fmt: skip

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
    "listen": listen.listen,
    "card": card.card,
    "list": listing.list_topics,
    "report": report.report,
    "figure": report.figure,
    "cite": report.cite,
    "compare": report.compare,
    "merge": merge.merge,
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
    run_in_utf8()
    prepare_streams()
    _prepare_threads()
    signal.signal(signal.SIGTERM, _end_by)  # as Ctrl-C: what is held is given back
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where a full disk and a closed pipe are caught
    except UserError as error:
        _end(str(error), 2)
    except (KeyboardInterrupt, SystemExit) as end:
        code = end.code if isinstance(end, SystemExit) else 128 + signal.SIGINT
        if code not in ENDED_BY_SIGNAL:
            raise
        _end("interrupted", code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno in NO_SPACE:
            what = error.filename or "results or what is printed"
            _end(f"no space left to write {what}; free some and run the same command again", 2)
        if error.errno in PATH_TROUBLE and error.filename:
            _end(f"{error.filename}: {(error.strerror or 'cannot be used').lower()}", 2)
        raise


def _prepare_threads() -> None:
    """Let threads sleep while they wait, and leave out counts of threads that are no numbers."""
    for name, value in unusable_threads(os.environ).items():
        del os.environ[name]
        if value.strip():
            print_line(
                f"{name}={value} in the environment: not used, no number of threads; allowed: 1 or more", error=True
            )
    os.environ.update({name: value for name, value in WAITING.items() if name not in os.environ})


def _end_by(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _end(message: str, code: int) -> None:
    with suppress(OSError):  # the exit code stands for a message that cannot be written
        print_line(f"smdim-bench: {message}", error=True)
    sys.exit(code)

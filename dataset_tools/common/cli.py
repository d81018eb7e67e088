"""What every command line of the toolkit shares: exit codes, one-line errors, plain help."""

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import typer
from typer.main import get_command

from dataset_tools.common.extras import explain_missing
from dataset_tools.errors import UsageError, VfiError

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
_INTERRUPTED_MESSAGE = "interrupted; run the same command again to go on"
_typed: ContextVar[str | None] = ContextVar("typed", default=None)


def new_app(**options: Any) -> typer.Typer:
    """Return a Typer application without shell completion, boxes or decorated tracebacks."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, **options)


def run(
    command: Callable[..., int | None] | typer.Typer,
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    interrupted: str = _INTERRUPTED_MESSAGE,
) -> int:
    """Run a typed function, or a Typer application with subcommands, and return its exit code.

    Args:
        command: A function whose annotations are its options (its docstring is the help text), or an application.
        argv: Arguments without the program's name; ``None`` takes those of the process.
        prog: Name for help and errors, e.g. ``"python -m dataset_tools.extract"``.
        interrupted: What is said after Ctrl-C.

    Returns:
        0 when done, 1 after a ``VfiError`` (or the function's own return value), 2 after wrong usage,
        130 after Ctrl-C. An error is one line on stderr, a library that an extra brings and is missing included.
    """
    if not isinstance(command, typer.Typer):
        app = new_app()
        app.command()(command)
    else:
        app = command
    built = get_command(app)
    if (typed := _typed.get()) is not None:
        _rename(built, prog, typed)
        prog = typed
    try:
        result = built.main(args=list(sys.argv[1:] if argv is None else argv), prog_name=prog, standalone_mode=False)
    except KeyboardInterrupt:
        return _fail(prog, interrupted, INTERRUPTED)
    except UsageError as error:
        return _fail(prog, str(error), USAGE)
    except VfiError as error:
        return _fail(prog, str(error), FAILED)
    except OSError as error:
        return _fail(prog, _describe_os_error(error), FAILED)
    except ModuleNotFoundError as error:
        if (reason := explain_missing(error)) is None:
            raise
        return _fail(prog, reason, USAGE)
    except Exception as error:
        # Typer ships its own copy of Click in some versions, so Click's errors are known by what they can do.
        if type(error).__name__ == "Abort":
            return _fail(prog, interrupted, INTERRUPTED)
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _fail(prog, error.format_message(), USAGE)
        raise
    if result == INTERRUPTED:  # newer Typer turns Ctrl-C into this return value
        return _fail(prog, interrupted, INTERRUPTED)
    return int(result) if isinstance(result, int) else OK


def run_module(module: str, argv: Sequence[str] | None = None, *, prog: str) -> int:
    """Import a command's module, run its ``main`` and return the exit code: 2 when an extra it needs is missing."""
    try:
        main = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        if (reason := explain_missing(error)) is None:
            raise
        return _fail(program(prog), reason, USAGE)
    return int(main(argv))


@contextmanager
def shown_as(typed: str) -> Iterator[None]:
    """Let help and errors name what the user typed (``vfi extract``) instead of ``python -m MODULE``."""
    token = _typed.set(typed)
    try:
        yield
    finally:
        _typed.reset(token)


def program(prog: str) -> str:
    """Return the name to begin a message with: ``prog``, or what the user typed instead."""
    return _typed.get() or prog


def say(text: str, *, is_error: bool = False) -> None:
    """Print one line on stdout, or stderr; names from anywhere can neither break it nor steer the terminal."""
    escaped = (sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    print("".join(escaped), file=sys.stderr if is_error else sys.stdout)


def _rename(command: Any, prog: str, typed: str) -> None:
    """Put what the user typed into the help of a command and of those below it."""
    command.help = (command.help or "").replace(prog, typed)
    for below in getattr(command, "commands", {}).values():
        _rename(below, prog, typed)


def _fail(prog: str, message: str, code: int) -> int:
    say(f"{prog}: {' '.join(message.split())}", is_error=True)
    return code


def _describe_os_error(error: OSError) -> str:
    reason = error.strerror or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason

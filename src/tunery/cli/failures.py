"""Errors for people: one message that says what is wrong, where and what to do, and the exit code of its kind."""

from __future__ import annotations

import errno
import os
import sys
import traceback

import typer
from pydantic import ValidationError

from tunery.cli.output import plain_text
from tunery.errors import EXIT_CODES, Exhausted, InternalError, InvalidInput, RecipeInvalid, TuneryError
from tunery.kit.faults import fault_line, faults_of

__all__ = ["report"]


def report(error: Exception) -> int:
    """Write an error's message to standard error and return the exit code."""
    if isinstance(error, typer.TyperException):
        return _report_usage(error)
    if isinstance(error, typer.Abort):
        typer.echo("nothing was changed", err=True)
        return 1
    if isinstance(error, BrokenPipeError):
        # The reader has gone; whatever Python flushes at its end must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    known = _as_ours(error)
    for line in _lines(known):
        typer.echo(plain_text(line), err=True)
    if type(known) is InternalError and os.environ.get("TUNERY_LOG_LEVEL") == "debug":
        traceback.print_exception(error)
    return EXIT_CODES[known.kind]


def _report_usage(error: typer.TyperException) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # typer exports no name of it; its message is the help itself
        typer.echo(error.format_message(), err=True)
        return error.exit_code
    context = getattr(error, "ctx", None)
    typer.echo(f"error: {plain_text(error.format_message())}", err=True)
    if context is not None:
        typer.echo(f"see `{context.command_path} --help`", err=True)
    return error.exit_code


def _as_ours(error: Exception) -> TuneryError:
    if isinstance(error, TuneryError):
        return error
    if isinstance(error, ValidationError):
        return InvalidInput(f"{error.title} has values that are not valid", faults=faults_of(error.errors()))
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Exhausted(f"{where}the disk is full; free space and run the same command again: it goes on")
        return InvalidInput(f"{where}{error.strerror or error}")
    return InternalError(
        f"a fault of ours: {type(error).__name__}: {error}\n"
        f"run it again with TUNERY_LOG_LEVEL=debug to see where, and please report it"
    )


def _lines(error: TuneryError) -> list[str]:
    faults = [fault for fault in error.details.get("faults") or [] if isinstance(fault, dict)]
    if not faults:
        return [f"error: {error.message}"]
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    where = "the recipe" if isinstance(error, RecipeInvalid) else "what was given"
    return [f"error: {count} in {where}; nothing was started", *(f"  {fault_line(fault)}" for fault in faults)]

"""Telling how far long work has come, wherever it runs.

Belongs here: the one hook between work and whoever shows it. The command line puts a progress bar
there; in Dagster's own processes nothing listens, and the event log tells.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

# (what is done, how much of it, out of how much)
Listener = Callable[[str, int, int], None]


def _nobody(_what: str, _done: int, _total: int) -> None:
    """Nobody listens."""


_listener: Listener = _nobody


def report(what: str, done: int, total: int) -> None:
    """Tell whoever listens that `done` of `total` are done."""
    _listener(what, done, total)


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Send reports of the work inside to a listener."""
    global _listener  # noqa: PLW0603 - Dagster runs the work, so nothing can be handed through
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before

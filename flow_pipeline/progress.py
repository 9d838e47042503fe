"""Telling how far long work has come, wherever it runs.

Belongs here: the one hook between work and whoever shows it. The command line puts a progress bar
there; in Dagster's own processes nothing listens, and the event log tells.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

# (what is done, how much of it, out of how much)
Listener = Callable[[str, int, int], None]


# The innermost listens. Dagster and dbt run the work, in threads of their own, so nothing can be
# handed through.
_listeners: list[Listener] = []


def report(what: str, done: int, total: int) -> None:
    """Tell whoever listens that `done` of `total` are done."""
    if _listeners:
        _listeners[-1](what, done, total)


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Send reports of the work inside to a listener."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.pop()

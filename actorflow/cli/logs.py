"""How log lines look on the command line; the library itself configures nothing."""

from __future__ import annotations

import logging
from typing import Any

import structlog

__all__ = ["configure_logs"]

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure_logs(level: str, form: str, stream: Any) -> None:
    """Have structlog write to `stream`.

    Args:
        level: the least severe level to show.
        form: ``"console"``, ``"json"``, or ``"auto"``: console on a terminal, JSON otherwise.
        stream: anything with `write` and `isatty`.
    """
    terminal = stream.isatty()
    console = form == "console" or (form == "auto" and terminal)
    renderer: Any = (
        structlog.dev.ConsoleRenderer(
            colors=terminal, exception_formatter=structlog.dev.plain_traceback
        )
        if console
        else structlog.processors.JSONRenderer(default=repr)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )

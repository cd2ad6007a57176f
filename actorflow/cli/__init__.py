"""The entrypoint: `actorflow run`, `check` and `bench`, also as `python -m actorflow`."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments, or None for the process's own.

    Returns:
        the exit code: 0 done, 1 failed, 2 a mistake in the topology or the command, 130
        interrupted.
    """
    from actorflow.cli.arguments import parse
    from actorflow.cli.output import ensure_streams

    ensure_streams()
    options = parse(argv)
    try:
        return int(options.command(options))
    except KeyboardInterrupt:
        # Before anything was started, while the stages' modules were imported.
        return 130

"""The codec of a topology's stages, as far as it takes an import to say that it is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actorflow.errors import OptionError
from actorflow.topology.report import Path, Report, explain

__all__ = ["check_codec", "modules_of_codecs"]


def check_codec(codec: object, path: Path, report: Report) -> None:
    """Report a codec for a class that cannot be imported, or of which msgspec knows nothing.

    Args:
        codec: the option's value; what is wrong with its form was reported before.
        path: where it stands.
        report: takes the mistakes.
    """
    if isinstance(codec, Mapping):
        from actorflow.protocol.typed import TypedCodec

        try:
            TypedCodec(codec)
        except OptionError as error:
            report.add(path, explain(error))


def modules_of_codecs(codecs: Iterable[object]) -> tuple[str, ...]:
    """What stages with these codecs import, so that it is imported once for all of them.

    Args:
        codecs: the options' values; those that need no import are passed over.

    Example:
        >>> modules_of_codecs(["auto", {"msgspec": "jobs:Job"}, None])
        ('msgspec', 'jobs')
    """
    typed = [codec for codec in codecs if isinstance(codec, Mapping)]
    if not typed:
        return ()
    from actorflow.protocol.typed import place_of

    modules = [place_of(codec).partition(":")[0] for codec in typed]
    return tuple(dict.fromkeys(["msgspec", *modules]))

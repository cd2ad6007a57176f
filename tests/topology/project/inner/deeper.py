"""A module of a package."""

from __future__ import annotations

from actorflow.stage.behaviour import Producer


class Deep(Producer):
    pass

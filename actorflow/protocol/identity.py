"""Who is who: stages by name and index, their incarnations by generation, never by process id."""

from __future__ import annotations

from actorflow.records import dataclass

__all__ = ["Incarnation", "StageId"]


@dataclass(frozen=True, slots=True, order=True)
class StageId:
    """A stage of a topology: its name and, among its replicas, its index from 0.

    Example:
        >>> str(StageId("count", 1))
        'count/1'
    """

    name: str
    index: int = 0

    def __str__(self) -> str:
        return f"{self.name}/{self.index}"


@dataclass(frozen=True, slots=True, order=True)
class Incarnation:
    """One life of a stage: generation 1 is the first process, each restart adds 1.

    Example:
        >>> str(Incarnation(StageId("count", 1), 3))
        'count/1#3'
        >>> Incarnation.parse("count/1#3") == Incarnation(StageId("count", 1), 3)
        True
    """

    stage: StageId
    generation: int = 1

    def __str__(self) -> str:
        return f"{self.stage}#{self.generation}"

    @classmethod
    def parse(cls, text: str) -> Incarnation:
        """Read what `str` wrote; raises ValueError on anything else."""
        stage, _, generation = text.rpartition("#")
        name, _, index = stage.rpartition("/")
        return cls(StageId(name, int(index)), int(generation))

"""Word count over Python's standard library, as it is in configs/, beside one process.

The topology is `configs/wordcount.yaml`: a source of paths, two counters, one that merges. Timed is
from the first path that the source gives to the merged result. The floor is one process that reads
the same files and counts with one `collections.Counter`, from its first path to its result. Both
read from the system's cache, and must find the same words.

    python -m benchmarks.wordcount
    python -m benchmarks.wordcount --pattern "json/*.py" --rounds 9 --json
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from actorflow import load
from benchmarks._pipes import Crew, Pipe
from benchmarks._suite import Chart, Finding, Result, alternate, parser, publish, quotients, series
from configs.wordcount import Merge, StandardLibrary, words_of

YAML = Path(__file__).parent.parent / "configs" / "wordcount.yaml"
QUICK = "[a-e]*/*.py"

Answer = tuple[int, int, float]
"""Words, different words, seconds."""


class Paths(StandardLibrary):
    """Says when it gave its first path."""

    began = 0.0

    def handle_demand(self, demand: int) -> Any:
        """The next paths."""
        if not self.began:
            self.began = time.perf_counter()
            self.set_result(self.began)
        return super().handle_demand(demand)


class Merged(Merge):
    """Says when it had the result."""

    def on_stop(self, reason: Any) -> None:
        """Leave the result behind."""
        found = (self.counts.total(), len(self.counts), self.counts.most_common(self.top))
        self.set_result([*found[:2], time.perf_counter()])


def run_actorflow(pattern: str) -> Answer:
    """One run of the topology in configs/, with a clock in its source and in its sink."""
    clocks = (
        "stages.files.use=benchmarks.wordcount:Paths",
        "stages.merge.use=benchmarks.wordcount:Merged",
    )
    with load(
        YAML, overrides=[*clocks, f"stages.files.args.pattern={json.dumps(pattern)}"]
    ).start() as run:
        results = run.wait(timeout=300)
    words, distinct, ended = results["merge"]
    return words, distinct, ended - results["files"]


def run_floor(pattern: str) -> Answer:
    """One process, a fork of this one."""

    def count(answer: Pipe) -> None:
        paths = StandardLibrary(pattern)
        began = time.perf_counter()
        counts: Counter[str] = Counter()
        while found := paths.take(100):
            for path in found:
                counts.update(words_of(path))
        counts.most_common(20)
        answer.send([counts.total(), len(counts), time.perf_counter() - began])

    with Crew() as crew:
        answer = crew.pipe()
        crew.fork(lambda: count(answer), {answer.writing})
        crew.keep({answer.reading})
        words, distinct, seconds = answer.receive()
        return words, distinct, seconds


def measure(options: argparse.Namespace) -> Result:
    """The seconds of both sides."""
    pattern = options.pattern or (QUICK if options.quick else "**/*.py")
    found = alternate(
        {
            "one process": lambda: run_floor(pattern),
            "actorflow": lambda: run_actorflow(pattern),
        },
        options.rounds,
    )
    words = {answer[:2] for answers in found.values() for answer in answers}
    if len(words) != 1 or words == {(0, 0)}:
        raise AssertionError(f"the sides did not find the same words: {words}")
    ((total, distinct),) = words
    seconds = {side: tuple(answer[2] for answer in answers) for side, answers in found.items()}
    return Result(
        name="wordcount",
        title="Word count over Python's standard library",
        measures=f"{total:,} words, {distinct:,} of them different, of the files {pattern}: from"
        " the first path to the result. The floor is one process with one collections.Counter.",
        charts=(
            Chart(
                title="Time from the first path to the result",
                unit="s",
                parameter="",
                better="less",
                series=(
                    series("one process", "floor", {"seconds": seconds["one process"]}),
                    series("actorflow", "actorflow", {"seconds": seconds["actorflow"]}),
                ),
            ),
        ),
        findings=(
            Finding(
                name="speed-up over one process",
                rounds=quotients(seconds["one process"], seconds["actorflow"]),
                targets=("word_count",),
            ),
        ),
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--pattern", help="which files; all modules when left out")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())

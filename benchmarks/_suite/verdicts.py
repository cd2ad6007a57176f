"""What became of each target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks._suite.records import Finding, SuiteReport
from benchmarks._suite.targets import TARGETS, Target

__all__ = ["State", "Verdict", "verdicts"]


State = Literal["met", "not met", "not measured", "not run"]
"""What can become of a target; "not run" when its benchmark was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a target.

    Args:
        target: which.
        findings: what measured it.
        state: met when every finding is within it.
        why: the reason, when it is not met, or was not measured though its benchmark was run.
    """

    target: Target
    findings: tuple[Finding, ...]
    state: State
    why: str = ""

    @property
    def worst(self) -> Finding | None:
        """The finding that decides: the one that is furthest to the wrong side."""
        if not self.findings:
            return None
        decide = min if self.target.at_least is not None else max
        return decide(self.findings, key=lambda finding: finding.median)


def verdicts(suite: SuiteReport, targets: Sequence[Target] = TARGETS) -> tuple[Verdict, ...]:
    """What became of each of them, in their order."""
    return tuple(_verdict(each, suite) for each in targets)


def _verdict(target: Target, suite: SuiteReport) -> Verdict:
    found = tuple(
        finding
        for report in suite.reports
        for finding in report.result.findings
        if target.key in finding.targets
    )
    if not found:
        return _absence(target, suite)
    missed = [finding for finding in found if not target.met_by(finding.median)]
    if not missed:
        return Verdict(target=target, findings=found, state="met")
    why = " ".join(dict.fromkeys(finding.why for finding in missed if finding.why)) or target.reason
    return Verdict(target=target, findings=found, state="not met", why=why)


def _absence(target: Target, suite: SuiteReport) -> Verdict:
    """Why nothing measured it."""
    reasons = [
        f"{failure.benchmark} failed: {failure.reason}"
        for failure in suite.failures
        if failure.benchmark == target.benchmark
    ]
    for report in suite.reports:
        if report.result.name == target.benchmark:
            missing = report.result.missing
            named = [each for each in missing if each.side.lower() in target.against.lower()]
            told = ", ".join(f"{each.side}: {each.why}" for each in named or missing)
            reasons.append(told or f"{target.benchmark} ran without this part")
    state: State = "not measured" if reasons else "not run"
    return Verdict(target=target, findings=(), state=state, why="; ".join(reasons))

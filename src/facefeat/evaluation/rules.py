"""Rules that an audit must keep, for CI: `gender.worst_group.accuracy >= 0.9`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from facefeat.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from facefeat.evaluation.audit import Audit

SCOPES = ("overall", "worst_group", "best_group", "gap", "ratio")
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
LESS_IS_BETTER = ("mae", "ece")
_FORM = re.compile(
    r"(?P<attribute>\w+)\.(?P<scope>\w+)(@(?P<by>[\w ]+?))?\.(?P<measure>\w+?)(\.(?P<end>low|high))?"
    r"\s*(?P<op>>=|<=|>|<)\s*(?P<bound>[0-9.]+)\s*(?P<percent>%?)"
)
_HELP = "Valid: ATTRIBUTE.SCOPE.MEASURE >= NUMBER, such as gender.worst_group.accuracy >= 0.9"


@dataclass(frozen=True)
class Rule:
    """A bound on one figure. by: grouping ("race", "race x gender"), "" for each attribute and column alone.

    end: "low" or "high" to bound an end of the 95 % interval in place of the figure.
    """

    text: str
    attribute: str
    scope: str
    by: str
    measure: str
    end: str
    op: str
    bound: float


@dataclass(frozen=True)
class Checked:
    """A rule and what was found. value: NaN where it cannot be measured, which is a failure."""

    rule: str
    value: float
    low: float
    high: float
    faces: int
    group: str
    passed: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}

    def say(self) -> str:
        """One sentence."""
        if not math.isfinite(self.value):
            return f"failed: {self.rule}: no group is large enough to measure it"
        where = f" ({self.group}, {self.faces:,} faces)" if self.group else f" ({self.faces:,} faces)"
        between = f", 95 % interval {self.low:.3f} to {self.high:.3f}" if math.isfinite(self.low) else ""
        return f"{'passed' if self.passed else 'failed'}: {self.rule}: {self.value:.3f}{between}{where}"


def parse_rule(text: str) -> Rule:
    """A rule from its text. Raises InputError with what is valid."""
    found = _FORM.fullmatch(text.strip())
    if not found:
        raise InputError(f"--fail-under takes a rule. Received: {text!r}. {_HELP}")
    part = found.groupdict()
    if part["scope"] not in SCOPES:
        raise InputError(f"--fail-under {text!r}: no such scope. {did_you_mean(part['scope'], SCOPES)}")
    try:
        bound = float(part["bound"]) / (100 if part["percent"] else 1)
    except ValueError:
        raise InputError(f"--fail-under {text!r}: {part['bound']!r} is no number. {_HELP}") from None
    by = " x ".join((part["by"] or "").split(" x "))
    return Rule(
        text.strip(), part["attribute"], part["scope"], by, part["measure"], part["end"] or "", part["op"], bound
    )


def check_rules(audit: Audit, rules: Sequence[Rule]) -> Audit:
    """The audit with its rules checked. Raises InputError for an attribute, measure or grouping that it has not."""
    return replace(audit, rules=tuple(_check(audit, r) for r in rules))


def _check(audit: Audit, rule: Rule) -> Checked:
    key = f"{rule.attribute}_{rule.measure}"
    if rule.attribute not in audit.schema.attributes:
        raise InputError(f"--fail-under {rule.text!r}: no such attribute. "
                         f"{did_you_mean(rule.attribute, audit.schema.attributes)}")  # fmt: skip
    table = audit.groups
    measures = [
        m.removeprefix(f"{rule.attribute}_") for m in audit.report.metrics if m.startswith(f"{rule.attribute}_")
    ]
    if rule.scope == "overall":
        if key not in audit.report.metrics:
            raise InputError(f"--fail-under {rule.text!r}: no such measure. {did_you_mean(rule.measure, measures)}")
        low, high = audit.report.intervals.get(key, (math.nan, math.nan))
        return _judge(rule, audit.report.metrics[key], low, high, audit.report.faces, "")
    in_groups = [m for m in measures if f"{rule.attribute}_{m}" in table]
    if key not in table:
        raise InputError(
            f"--fail-under {rule.text!r}: no such measure per group. {did_you_mean(rule.measure, in_groups)}"
        )
    every = list(dict.fromkeys(table["by"])) if len(table) else []
    if rule.by and rule.by not in every:
        raise InputError(f"--fail-under {rule.text!r}: no such grouping. {did_you_mean(rule.by, every)}")
    chosen = table[table["by"] == rule.by] if rule.by else table[~table["by"].str.contains(" x ")]
    chosen = chosen[~chosen["small"] & chosen[key].notna()]
    if not len(chosen):
        return _judge(rule, math.nan, math.nan, math.nan, 0, "")
    ordered = chosen.sort_values(key, ascending=rule.measure not in LESS_IS_BETTER, kind="stable")
    worst, best = ordered.iloc[0], ordered.iloc[-1]
    if rule.scope in ("gap", "ratio"):
        high, low = max(worst[key], best[key]), min(worst[key], best[key])
        value = high - low if rule.scope == "gap" else low / high if high > 0 else math.nan
        return _judge(rule, value, math.nan, math.nan, int(worst["faces"]), f"{_name(best)} to {_name(worst)}")
    row = worst if rule.scope == "worst_group" else best
    return _judge(rule, row[key], row[f"{key}_low"], row[f"{key}_high"], int(row[f"{key}_n"]), _name(row))


def _name(row: pd.Series) -> str:
    return f"{row['by']} {row['group']}"


def _judge(rule: Rule, value: float, low: float, high: float, faces: int, group: str) -> Checked:
    judged = {"low": low, "high": high}.get(rule.end, value)
    passed = math.isfinite(judged) and OPERATORS[rule.op](judged, rule.bound)
    return Checked(rule.text, float(value), float(low), float(high), faces, group, bool(passed))

"""Answers with a guarantee, for each group: conformal sets and intervals, and thresholds of equal accuracy.

Conformal prediction (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005) takes labelled faces
that the model was not trained on, and gives sets of classes, or intervals, that hold the label of new faces like them
with a chosen probability. One threshold for all ("split") holds that on average; one for each group ("Mondrian") holds
it in every group. Everything here is fitted on one half of the faces and measured on the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.evaluation.groups import Groups
from facefeat.evaluation.report import SMALL_GROUP
from facefeat.evaluation.sections import Section
from facefeat.utils.frames import import_pandas
from facefeat.utils.statistics import proportion_interval

if TYPE_CHECKING:
    from facefeat.evaluation.predictions import Predictions, Scored


def conformal_quantile(scores: np.ndarray, level: float) -> float:
    """(n,) scores, high for a bad fit -> the one that a new face of the same kind stays under with `level`; infinity
    where n is too small to say so."""
    rank = math.ceil((len(scores) + 1) * level - 1e-9)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def fit_thresholds(scores: np.ndarray, codes: np.ndarray, count: int, level: float) -> np.ndarray:
    """(count,) quantiles, of the faces of each group; codes (n,) int."""
    return np.array([conformal_quantile(scores[codes == k], level) for k in range(count)])


def prediction_sets(probabilities: np.ndarray, thresholds: np.ndarray | float) -> np.ndarray:
    """(N, K) probabilities -> (N, K) bool, the classes in each face's set; never none.

    thresholds: one for all, (N, 1) one for each face, or (K,) one for each class; of the score 1 - probability.
    """
    kept = 1 - probabilities <= thresholds
    kept[np.arange(len(kept)), probabilities.argmax(axis=1)] = True
    return np.asarray(kept)


def guarantee_sections(found: Predictions, level: float, seed: int = 0) -> list[Section]:
    """Sets, intervals and equal accuracy, whichever the predictions allow.

    Raises InputError where `level` is not between 0 and 1.
    """
    from facefeat.errors import InputError

    if not 0 < level < 1:
        raise InputError(f"--guarantee takes a share between 0 and 1, such as 0.9. Received: {level}.")
    fit = np.random.default_rng(seed).random(found.faces) < 0.5
    out = []
    for name, s in found.scored.items():
        if s.probabilities is not None:
            out.append(_sets(name, s, found.groups, fit, level))
        if s.error is not None and np.isfinite(s.error).any():
            out.append(_intervals(name, s, found.groups, fit, level))
        if s.confidence is not None:
            out.append(_equal_accuracy(name, s, found.more, fit, level))
    return [s for s in out if len(s.table)]


def _codes(groups: Groups, n: int) -> np.ndarray:
    """(N,) the group of each face, the last one where it is in several; -1 where in none."""
    codes = np.full(n, -1)
    codes[groups.rows] = groups.codes
    return codes


def _sets(name: str, s: Scored, groups: Mapping[str, Groups], fit: np.ndarray, level: float) -> Section:
    assert s.probabilities is not None
    ok = (s.truth >= 0) & np.isfinite(s.probabilities).all(axis=1)
    p, n = np.nan_to_num(s.probabilities), len(ok)
    scores = 1 - p[np.arange(n), np.maximum(s.truth, 0)]
    train, test = ok & fit, ok & ~fit
    one = prediction_sets(p, conformal_quantile(scores[train], level))
    lines = []
    for by, g in groups.items():
        codes = _codes(g, n)
        each = fit_thresholds(scores[train], codes[train], len(g.names), level)
        # Of the attribute's own classes each has a threshold, whichever the face; else each face has its group's.
        own = prediction_sets(p, each if by == name else np.append(each, math.inf)[codes][:, None])
        lines += _coverage(
            by, g, codes, test, _holds(one, s.truth), _holds(own, s.truth), one.sum(1), own.sum(1), train
        )
    title = f"Sets of classes that hold the {name.replace('_', ' ')} of {level:.0%}"
    text = (
        f"A face may be given several classes, so that the label is among them for {level:.0%} of faces. One threshold "
        "for all holds that on average only; one for each group holds it in every group, and gives larger sets where "
        "the model is worse. Groups other than the attribute's own classes must be known when predicting.",
    )
    return _coverage_section(f"sets-{name}", title, text, lines, "Mean size of the set")


def _intervals(name: str, s: Scored, groups: Mapping[str, Groups], fit: np.ndarray, level: float) -> Section:
    error = s.error
    assert error is not None and s.value is not None
    ok, n = np.isfinite(error), len(error)
    off = np.where(ok, np.abs(error), 0)
    train, test = ok & fit, ok & ~fit
    half = conformal_quantile(off[train], level)
    lines = []
    for by, g in groups.items():
        codes = _codes(g, n)
        if by == name:
            # The labelled class is not known when predicting, but the predicted number's is.
            codes = s.answer if s.attribute.classes else codes
        each = np.append(fit_thresholds(off[train], codes[train], len(g.names), level), math.inf)[codes]
        shown = f"{by}, predicted" if by == name else by
        lines += _coverage(shown, g, codes, test, off <= half, off <= each, np.full(n, 2 * half), 2 * each, train)
    title = f"Intervals that hold the {name.replace('_', ' ')} of {level:.0%}"
    text = (
        f"An interval around the number predicted that holds the label of {level:.0%} of faces: of one width for all, "
        "and of a width for each group.",
    )
    return _coverage_section(f"intervals-{name}", title, text, lines, "Width")


def _holds(sets: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.asarray(sets[np.arange(len(sets)), np.maximum(truth, 0)])


def _coverage(
    by: str,
    g: Groups,
    codes: np.ndarray,
    test: np.ndarray,
    one: np.ndarray,
    own: np.ndarray,
    one_size: np.ndarray,
    own_size: np.ndarray,
    train: np.ndarray,
) -> list[dict[str, Any]]:
    out = []
    for k in np.unique(codes[test & (codes >= 0)]):
        here = test & (codes == k)
        n = int(here.sum())
        line: dict[str, Any] = {"by": by, "group": g.names[k], "faces": n,
                                "fitted_on": int((train & (codes == k)).sum())}  # fmt: skip
        for key, held, size in (("one", one, one_size), ("own", own, own_size)):
            low, high = proportion_interval(held[here].sum()[None], np.array([n]))
            line |= {key: float(held[here].mean()), f"{key}_low": float(low[0]), f"{key}_high": float(high[0]),
                     f"{key}_size": float(size[here].mean())}  # fmt: skip
        out.append(line | {"small": n < SMALL_GROUP})
    return out


def _coverage_section(key: str, title: str, text: tuple[str, ...], lines: list[dict[str, Any]], size: str) -> Section:
    pd = import_pandas()
    shown = {"by": "By", "group": "Group", "faces": "Fresh faces", "one": "Held, one threshold",
             "own": "Held, one for each group", "one_size": size, "own_size": f"{size}, for each group"}  # fmt: skip
    return Section(key, title, text, pd.DataFrame(lines), shown, ("one", "own"))


def least_confidence(confidence: np.ndarray, right: np.ndarray, accuracy: float) -> float:
    """The lowest confidence from which the answers are right in at least `accuracy`; infinity where there is none."""
    order = np.argsort(-confidence, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last = np.append(np.diff(confidence[order]) != 0, True) if len(order) else np.zeros(0, bool)  # ties go together
    enough = np.flatnonzero((share >= accuracy) & last)
    return float(confidence[order[enough[-1]]]) if len(enough) else math.inf


def _equal_accuracy(name: str, s: Scored, more: Mapping[str, Groups], fit: np.ndarray, level: float) -> Section:
    """Groups are the predicted classes, and the table's own: those are known when predicting."""
    pd = import_pandas()
    assert s.confidence is not None
    ok = (s.truth >= 0) & (s.answer >= 0) & np.isfinite(s.confidence)
    right, n = s.truth == s.answer, len(ok)
    target = max(level, 0.5)
    one = least_confidence(s.confidence[ok & fit], right[ok & fit], target)
    lines = []
    groups = {f"{name}, predicted": Groups.of_codes(s.attribute.classes, s.answer), **more}
    for by, g in groups.items():
        codes = _codes(g, n)
        for k in np.unique(codes[ok & ~fit & (codes >= 0)]):
            here = ok & (codes == k)
            each = least_confidence(s.confidence[here & fit], right[here & fit], target)
            fresh = here & ~fit
            line: dict[str, Any] = {"by": by, "group": g.names[k], "faces": int(fresh.sum()), "threshold": each}
            for key, threshold in (("one", one), ("own", each)):
                kept = fresh & (s.confidence >= threshold)
                low, high = proportion_interval(np.array([right[kept].sum()]), np.array([kept.sum()]))
                line |= {
                    f"{key}_answered": float(kept.sum() / max(fresh.sum(), 1)),
                    key: float(right[kept].mean()) if kept.any() else math.nan,
                    f"{key}_low": float(low[0]), f"{key}_high": float(high[0]),
                }  # fmt: skip
            lines.append(line | {"small": int(fresh.sum()) < SMALL_GROUP})
    shown = {"by": "By", "group": "Group", "faces": "Fresh faces", "one": "Right, one threshold",
             "one_answered": "Answered", "own": "Right, one for each group", "own_answered": "Answered, for each group",
             "threshold": "Least confidence"}  # fmt: skip
    text = (
        f"Answering only from a confidence on is right for {target:.0%} of the answers, on average with one threshold, "
        "and in every group with one for each. The price is how many are answered.",
    )
    title = f"Equal accuracy for all: {name.replace('_', ' ')}"
    percent = ("one", "own", "one_answered", "own_answered")
    return Section(f"equal-{name}", title, text, pd.DataFrame(lines), shown, percent)

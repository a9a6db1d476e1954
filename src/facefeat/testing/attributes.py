"""The checks of what attributes are made of: their kinds, and the losses by which they are learnt."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from facefeat.errors import LabelError, UnknownComponentError
from facefeat.plugins.contracts import AttributeKind, Component, Judged, Parsed, Wording
from facefeat.plugins.kinds import say
from facefeat.plugins.registry import get_registry
from facefeat.schema import Attribute
from facefeat.testing import contract
from facefeat.testing.contract import CheckOptions, Findings
from facefeat.testing.registration import registered
from facefeat.types import Answers, FaceBatch

if TYPE_CHECKING:
    from collections.abc import Iterator

FACES = 60
"""Made faces: enough for a calibration with an interval."""


def check_attribute_kind(
    component: Component,
    *,
    table: Mapping[str, Any] | None = None,
    labels: Sequence[str] = ("calm", "glad"),
    **options: Unpack[CheckOptions],
) -> AttributeKind:
    """Check an attribute kind, an `AttributeKind`: what it makes of labels, outputs, calibration and export fits.

    Args:
        table: an attribute of the kind as in a schema, without its `kind`; by default one of two classes.
        labels: labels as a user's table has them, at least two that differ.
        options: see `CheckOptions`.

    Returns:
        The kind.

    Raises:
        ContractError: with all faults.
    """
    found, configs = contract.begin("attribute_kind", component, options, [])
    with contract.no_files(found, "building and reading"), found.step("build must work"):
        kind = component.build(**configs[0])
        missing = [n for n in _names(AttributeKind) if not hasattr(kind, n)]
        if not found.expect(isinstance(kind, AttributeKind), "build must give an AttributeKind", f"without {missing}"):
            found.stop_at_faults()
        given = {"classes": ["calm", "glad"]} if table is None else dict(table)
        with _registered(component), found.step("an attribute of the kind must work"):
            attribute = Attribute.from_dict("toy", {**given, "kind": component.name})
            _check_schema(found, kind, attribute)
            targets = _check_labels(found, kind, attribute, labels)
            found.stop_at_faults()
            _check_answers(found, kind, attribute, targets)
    found.stop_at_faults()
    made: AttributeKind = kind
    return made


def _names(protocol: type) -> list[str]:
    return [n for n in (*vars(protocol), *protocol.__annotations__) if not n.startswith("_")]


@contextlib.contextmanager
def _registered(component: Component) -> Iterator[None]:
    """Within it, the kind is found by its name."""
    try:
        known = get_registry().get("attribute_kind", component.name).component is component
    except UnknownComponentError:
        known = False
    with contextlib.nullcontext() if known else registered({"attribute_kind": [component]}):
        yield


def _check_schema(found: Findings, kind: AttributeKind, attribute: Attribute) -> None:
    again = Attribute.from_dict("toy", json.loads(json.dumps(attribute.to_dict())))
    found.expect(again == attribute, "an attribute must survive its table as JSON", again)
    outputs, groups, axis = kind.outputs(attribute), kind.groups(attribute), kind.axis(attribute)
    found.expect(isinstance(outputs, int) and outputs >= 1, "outputs must be a whole number from 1", outputs)
    named = isinstance(groups, tuple) and groups and all(isinstance(g, str) and g for g in groups)
    found.expect(named and len(set(groups)) == len(groups), "groups must be names, each its own", groups)
    if axis is not None:
        fits = len(axis.positions) == len(groups) == len(axis.edges) + 1 and axis.low < axis.high
        found.expect(fits, "an axis has a position for each group, an edge between each two, and low < high", axis)
    losses = kind.losses(attribute)
    found.expect(bool(losses), "losses must name at least one that fits", losses)
    for name in losses:
        with found.step(f"the loss {name!r} must take the attribute"):
            get_registry().build("loss", name, attribute=attribute)


def _check_labels(found: Findings, kind: AttributeKind, attribute: Attribute, labels: Sequence[str]) -> np.ndarray:
    """(FACES, T) targets: the labels over and over, the last face without one."""
    parsed = [kind.parse(attribute, text) for text in labels]
    found.expect(all(isinstance(p, Parsed) for p in parsed), "parse must give a Parsed", parsed)
    rows = [p.target for p in parsed]
    found.expect(len({len(r) for r in rows}) == 1, "the targets of all labels must be as long", rows)
    found.expect(len(set(map(repr, rows))) > 1, "labels that differ must give targets that differ", rows)
    found.stop_at_faults()
    try:
        kind.parse(attribute, "no label, \N{SNOWMAN}")
        found.fault("parse must raise LabelError for text that is no label. It gave a target")
    except LabelError:
        pass
    targets = np.asarray([rows[i % len(rows)] for i in range(FACES - 1)] + [(np.nan,) * len(rows[0])], "float32")
    columns, stored = kind.columns(attribute, targets), kind.stored(attribute)
    found.expect(tuple(columns) == stored, "columns must be those that stored names", tuple(columns))
    back = kind.targets(attribute, columns)
    same = back.dtype == np.float32 and np.array_equal(back, targets, equal_nan=True)
    found.expect(same, "targets must be the inverse of columns", back[:3])
    empty = kind.targets(attribute, {c: v[:0] for c, v in columns.items()})
    found.expect(empty.shape == (0, targets.shape[1]), "targets of no face must be (0, T)", empty.shape)
    members = kind.members(attribute, targets)
    shape = (FACES, len(kind.groups(attribute)))
    good = members.shape == shape and members.dtype == bool and members[:-1].any() and not members[-1].any()
    found.expect(good, f"members must be {shape} bool, without unknown labels", members.shape)
    numbers = kind.numbers(attribute, targets)
    found.expect(
        numbers.shape == (FACES,) and np.isnan(numbers[-1]), "numbers must be (N,), NaN where unknown", numbers
    )
    return targets


def _check_answers(found: Findings, kind: AttributeKind, attribute: Attribute, targets: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(FACES, kind.outputs(attribute))).astype("float32")
    fitted = kind.calibrate(attribute, outputs, targets, 0.9, 0)
    with found.step("a calibration must survive JSON and its check"):
        kept = {k: v for k, v in json.loads(json.dumps(fitted)).items() if k != "measured"}
        checked = kind.check_calibration(attribute, kept)
        found.expect(checked == kept, "check_calibration must give what calibrate gave", checked)
    for calibration in ({}, fitted):
        answers = kind.read(attribute, outputs, calibration)
        _look_at_answers(found, kind, attribute, answers)
        found.expect(len(kind.read(attribute, outputs[:0], calibration).labels) == 0, "read must take no face")
        if found.wants("backends"):
            _check_export(found, kind, attribute, outputs, calibration)
        scores = kind.score(attribute, answers, targets, np.ones((2, FACES)))
        found.expect("skill" in scores, "score must have a skill", list(scores))
        unknown = set(scores) - {"skill"} - set(kind.measures)
        found.expect(not unknown, "measures must say what each metric of score means", unknown)
        for name, values in scores.items():
            found.expect(np.shape(values) == (2,), f"score: {name} must be (B,)", np.shape(values))
        for name, values in kind.per_face(attribute, answers, targets).items():
            good = np.shape(values) == (FACES,) and np.isnan(values[-1]) and name in kind.measures
            found.expect(good, f"per_face: {name} must be a measure, (N,), NaN where unknown", np.shape(values))
        judged = kind.judged(attribute, answers, targets)
        found.expect(judged is None or isinstance(judged, Judged), "judged must give a Judged or None", judged)
        found.expect(kind.mistakes(attribute, answers, targets).ndim == 1, "mistakes must be rows (M,)")
    unlabelled = kind.score(attribute, answers, np.full_like(targets, np.nan), np.ones((2, FACES)))
    found.expect(unlabelled == {}, "score must be empty where no label is known", unlabelled)
    cost = np.asarray(kind.divergence(attribute, outputs, outputs[::-1].copy()))
    same = np.asarray(kind.divergence(attribute, outputs, outputs))
    good = cost.shape == (FACES,) and (cost >= -1e-5).all() and np.abs(same).max() < 1e-4
    found.expect(good, "divergence must be (B,) of 0 or more, and 0 between equal outputs", cost[:3])


def _look_at_answers(found: Findings, kind: AttributeKind, attribute: Attribute, answers: Any) -> None:
    if not found.expect(isinstance(answers, Answers), "read must give Answers", type(answers).__name__):
        return
    n, k = FACES, len(answers.classes)
    shapes = {"labels": (n,), "probabilities": (n, k), "confidence": (n,), "values": (n,), "intervals": (n, 2)}
    for name, shape in shapes.items():
        value = getattr(answers, name)
        found.expect(value is None or np.shape(value) == shape, f"{name} must be {shape}", np.shape(value))
    found.stop_at_faults()
    found.expect(answers.kind == attribute.kind, "answers must name their kind", answers.kind)
    with found.step("answers must become rows and tables"):
        batch = FaceBatch({"toy": answers})
        json.dumps(batch.row(0)["toy"].to_dict())
        found.expect(len(batch.to_frame()) == n, "a table must have a row for each face")
    for row in range(3):
        words = say("toy", answers.row(row))
        good = isinstance(words, Wording) and words.short and words.lines and words.text
        if found.expect(good, "say must give a Wording", words):
            longest = max(map(len, words.lines))
            found.expect(longest <= kind.width(attribute), "width must be that of the longest line of say", words.lines)


def _check_export(
    found: Findings, kind: AttributeKind, attribute: Attribute, outputs: np.ndarray, calibration: Mapping[str, Any]
) -> None:
    with found.step("graph must work in keras.ops, and from_graph read what it gives"):
        made = {k: np.asarray(v) for k, v in kind.graph(attribute, outputs, calibration).items()}
        about = kind.describe(attribute, calibration)
        found.expect(set(made) == set(about), "describe must name the outputs of graph", list(about))
        found.expect(set(made) <= set(kind.tolerances), "tolerances must name the outputs of graph", list(made))
        back, wanted = kind.from_graph(attribute, made, about), kind.read(attribute, outputs, calibration)
        for name in ("probabilities", "values"):
            a, b = getattr(back, name), getattr(wanted, name)
            same = (a is None and b is None) or np.allclose(a, b, rtol=1e-3, atol=1e-3)
            found.expect(same, f"graph must give the {name} that read gives")


def check_loss(
    component: Component,
    *,
    table: Mapping[str, Any] | None = None,
    labels: Sequence[str] = ("calm", "glad", "sad"),
    **options: Unpack[CheckOptions],
) -> Callable[[Any, Any], Any]:
    """Check a loss: targets (B, T) and outputs (B, M) of one attribute -> what each face costs (B,) float32.

    An unknown label costs nothing, faces do not depend on each other, and going down the slope lowers the cost.

    Args:
        table: an attribute as in a schema; by default one of three classes. labels: some of its labels.
        options: see `CheckOptions`.

    Returns:
        The loss of the defaults.

    Raises:
        ContractError: with all faults.
    """
    found, configs = contract.begin("loss", component, options, ["attribute"])
    attribute = Attribute.from_dict("toy", {"classes": list(labels)} if table is None else dict(table))
    rows = [attribute.strategy.parse(attribute, text).target for text in labels]
    targets = np.asarray([*rows, (np.nan,) * len(rows[0])], "float32")
    outputs = np.random.default_rng(0).normal(size=(len(targets), attribute.outputs)).astype("float32")
    made = []
    for one in configs:
        with contract.no_files(found, "building and costing"), found.step("build and the loss must work"):
            made.append(component.build(attribute=attribute, **one))
            _check_costs(found, made[-1], targets, outputs)
    found.stop_at_faults()
    loss: Callable[[Any, Any], Any] = made[0]
    return loss


def _check_costs(found: Findings, loss: Any, targets: np.ndarray, outputs: np.ndarray) -> None:
    def cost(z: np.ndarray, t: np.ndarray = targets) -> np.ndarray:
        return np.asarray(loss(t, z))

    costs = cost(outputs)
    good = costs.shape == (len(targets),) and costs.dtype == np.float32 and np.isfinite(costs).all()
    if not found.expect(good, "a loss must be (B,) float32, finite", f"{costs.shape} {costs.dtype} {costs[:4]}"):
        return
    found.expect(costs[-1] == 0, "a face whose label is unknown (NaN) must cost nothing", costs[-1])
    alone = np.concatenate([cost(outputs[i : i + 1], targets[i : i + 1]) for i in range(len(targets))])
    found.expect(np.allclose(alone, costs, rtol=1e-4, atol=1e-5), "the cost of a face must not depend on others", alone)
    step = 1e-2 * np.eye(outputs.shape[1], dtype="float32")
    slope = np.stack([(cost(outputs + s) - cost(outputs - s)) / 2e-2 for s in step], axis=1)  # (B, M)
    found.expect(np.isfinite(slope).all() and np.abs(slope).max() > 0, "a loss must have a slope to go down", slope[:1])
    size = np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
    lower = cost(outputs - 0.02 * slope / size)
    found.expect(
        (lower <= costs + 1e-5).all() and lower.sum() < costs.sum(), "going down the slope must lower the cost"
    )

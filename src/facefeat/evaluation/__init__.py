"""Evaluation: metrics, calibration and the report."""

from facefeat.evaluation.calibration import calibrate
from facefeat.evaluation.metrics import expected_calibration_error, score_logits
from facefeat.evaluation.report import Report, evaluate

__all__ = ["Report", "calibrate", "evaluate", "expected_calibration_error", "score_logits"]

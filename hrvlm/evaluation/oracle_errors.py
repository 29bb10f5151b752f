"""What is known of the errors of an oracle, by the class that it predicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from hrvlm.certificates.kinds.oracle.errors import OracleError
from hrvlm.evaluation.answer_options import QuestionOptions
from hrvlm.generative.oracles.calibration import CalibrationPair, calibration_counts, read_calibration


def _check_one_each(pairs: Sequence[CalibrationPair], file: str) -> None:
    """Counts are binomial, with the mean over a population as their rate, only if no image gave two of the outputs."""
    many = Counter(pair.index for pair in pairs if pair.index is not None)
    repeated = sorted(index for index, count in many.items() if count > 1)
    if repeated:
        raise ValueError(
            f"expected one labelled answer of each image in {file} with the scope 'population', got several of the "
            f"images {repeated[:5]}: they are not independent; draw one each with certify.py answers, or audit images"
        )


def oracle_errors(question: QuestionOptions) -> Callable[[int], OracleError | None]:
    """The oracle error that goes with a predicted class; None where nothing is known of it.

    Raises:
        ValueError: If labelled answers cannot be read, or several are of one image where each stands for a population.
    """
    calibration, oracle = question.calibration, question.oracle
    if calibration is None:
        return lambda prediction: question.error
    pairs = read_calibration(calibration.file)
    if calibration.scope == "population":
        _check_one_each(pairs, calibration.file)
    counts = calibration_counts(oracle, pairs, calibration.model)

    def of_class(prediction: int) -> OracleError | None:
        position = max(0, prediction)
        if not counts.trials[position]:
            return None  # nothing is known of the class, so nothing is said of the ideal label
        return OracleError(
            model=calibration.model,
            errors=counts.errors[position],
            trials=counts.trials[position],
            scope=calibration.scope,
            gamma=calibration.gamma,
            calibration_share=calibration.calibration_share,
        )

    return of_class

"""Certificates of answers under an oracle as a kind, see `kinds.interface`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hrvlm.certificates.kinds.checks import choice_findings, noise_findings
from hrvlm.certificates.kinds.facts import named, said_of_noise
from hrvlm.certificates.kinds.interface import LEVELS, Context, Expected, Kind, Said, Summary
from hrvlm.certificates.kinds.oracle.record import OracleRecord
from hrvlm.certificates.kinds.oracle.summary import oracle_measures, summarise_oracles
from hrvlm.certificates.kinds.oracle.verify import oracle_family_findings, oracle_findings
from hrvlm.certificates.kinds.settings import RunSettings
from hrvlm.rows.measures import Measured
from hrvlm.rows.record import Key
from hrvlm.rows.verifying import Finding

_OF_RUN = (
    "num_statements", "label_functions", "functions_chosen", "n0", "generator", "prompt", "max_new_tokens",
    "temperature", "top_k", "top_p", "prompt_of",
)  # fmt: skip
_OF_QUESTIONS = tuple(name for name in _OF_RUN if name != "prompt")
_OF_ORACLE = ("split", "method", "alpha_share", "alpha_calibration", "num_classes")
_OF_CLAIM = ("error_model", "scope", "gamma", "assumed")


class OracleKind(Kind[OracleRecord]):
    """An L2 radius within which the label that an oracle gives to the answers of a model cannot change."""

    name = "oracle"
    record = OracleRecord
    source = "answers"
    spends = LEVELS
    report = "hrvlm.certificates.kinds.oracle.report"
    subject = frozenset({"generator"})

    def options(self, plan: Any) -> Any | None:
        """None: a plan of images asks for no answers, which `certify.py run` does by `answers`."""
        return None

    def keys(self, context: Context, index: int) -> set[Key]:
        """None of a classifier's images."""
        return set()

    def check(self, record: OracleRecord) -> Iterator[Finding]:
        """Bounds and radius follow from the counts and the oracle's error."""
        yield from noise_findings(record.float_mode, record.noise_space)
        yield from choice_findings(record)
        yield from oracle_findings(record)

    def check_family(self, records: Sequence[OracleRecord]) -> Iterator[tuple[OracleRecord, Finding]]:
        """Oracles of an image share alpha; both claims of one are of the same samples."""
        return oracle_family_findings(records)

    def said_of_run(self, record: OracleRecord, leaf: int | None) -> Iterator[Said]:
        """Noise, model, prompt, decoding, oracle and its error."""
        yield from said_of_noise(record, votes=False)
        if record.prompt_of == "run":
            yield from named(record, (self.name,), *_OF_RUN)
        else:
            yield from named(record, (self.name,), *_OF_QUESTIONS)
            yield from named(record, (self.name, "image", record.index), "prompt", "prompt_of")
        yield from named(record, (self.name, record.oracle), *_OF_ORACLE)
        yield from named(record, (self.name, record.oracle, record.claim), *_OF_CLAIM)
        if record.n > 0:
            yield (self.name,), "n", record.n
        if record.prediction >= 0 and record.anchor is None:
            yield ("class", record.oracle, record.prediction), "class_name", record.class_name
        if record.claim == "semantic" and record.scope != "image":
            yield from named(record, (self.name, record.oracle, record.prediction, "rate"), "rate", "errors", "trials")

    def expected(self, settings: RunSettings) -> Expected:
        """Numbers of samples."""
        if settings.samples is None:
            return {}
        return {((self.name,), "n0"): settings.selection_samples, ((self.name,), "n"): settings.n}

    def statement(self, record: OracleRecord) -> Key:
        """The oracle: an ideal one's label may be certified of some images alone."""
        return record.key[2:-1]

    def counts_for(self, record: OracleRecord) -> str | None:
        """The oracle; both claims about its answers rest on the same counts."""
        return record.oracle if record.claim == "composite" else None

    def summarise(self, records: Sequence[OracleRecord], radii: Sequence[float]) -> Summary:
        """See `summarise_oracles`."""
        return summarise_oracles(records, radii)

    def measures(self, record: OracleRecord, radii: Sequence[float]) -> list[Measured]:
        """See `oracle_measures`."""
        return oracle_measures(record, radii)


KIND = OracleKind()

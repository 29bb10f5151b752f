"""Tests of `plan.batch_size: null` through `certify.py run`: rows are those of any other batch size."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from command_runs import command_line
from jsonargparse import ArgumentParser

from hrvlm.callbacks.certification import CertificationCallback
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.cli.certify import main

ROWS = "certificates.jsonl"
PLAN = {
    "num_images": 3, "sigma": 0.05, "n0": 8, "n": 60, "alpha": 0.1, "radii": [0.0], "profile": {"radii": []},
    "joint": True, "attributes": [{"name": "dark", "target": "a dark picture of a {}"}],
    "joint_questions": {"radii": [0.01], "steps": 32},
}  # fmt: skip
KINDS = (b'"smoothing"', b'"profile"', b'"joint"', b'"semantic"')


@pytest.fixture(scope="module")
def run(
    tiny_model: Path, pictures: Path, tree_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., bytes]:
    folder = tmp_path_factory.mktemp("batch_size")
    line = command_line("run", tiny_model, pictures=pictures, tree=tree_file, plan=PLAN, folder=folder)

    def certify(output: Path, *more: str) -> bytes:
        main(line(output, *more))
        return (output / ROWS).read_bytes()

    return certify


@pytest.mark.slow
def test_an_automatic_batch_size_gives_the_same_rows_and_resumes_a_run_of_another(
    run: Callable[..., bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fixed = run(tmp_path / "fixed", "--plan.batch_size", "17")
    assert all(kind in fixed for kind in KINDS)
    with caplog.at_level(logging.INFO, "hrvlm.certificates.sampling.batch_size"):
        assert run(tmp_path / "automatic", "--plan.batch_size", "null") == fixed
    assert [record.name for record in caplog.records].count("hrvlm.certificates.sampling.batch_size") == 1
    begun = tmp_path / "fixed" / ROWS
    begun.write_bytes(fixed[: len(fixed) // 2])
    assert run(tmp_path / "fixed", "--plan.batch_size", "null") == fixed


def test_the_callback_takes_null_and_what_needs_a_fixed_size_gets_one() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(CertificationCallback, "callback")
    chosen = parser.parse_object({"callback": {"plan": {"batch_size": None}}})
    callback = parser.instantiate_classes(chosen).callback
    assert (callback.plan.batch_size, callback.plan.fixed_batch_size) == (None, 128)
    assert (CertificationPlan().batch_size, CertificationPlan(batch_size=7).fixed_batch_size) == (128, 7)
    with pytest.raises(ValueError, match="expected batch_size >= 1, or null"):
        CertificationPlan(batch_size=0)

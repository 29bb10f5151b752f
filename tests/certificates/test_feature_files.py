"""Kept features that are damaged: never counted, told by the name of their file, made again by a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from hrvlm.certificates import FeatureStore, Sample
from hrvlm.certificates.run.ledger import LEDGER, Ledger
from hrvlm.certificates.sampling import feature_store
from hrvlm.certificates.sampling.feature_store import fingerprint

DRAWS = 1030  # a full file and one of six draws
SAMPLE = Sample(index=3, image=torch.rand(3, 4, 4), labels={})


def fill(store: FeatureStore) -> None:
    store.begin(SAMPLE, torch.ones(2))
    store.append(3, range(DRAWS), torch.arange(2.0 * DRAWS).view(DRAWS, 2))


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    made = FeatureStore(tmp_path, {"sigma": 0.1}, DRAWS)
    fill(made)
    return made


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def missing(path: Path) -> None:
    path.unlink()


def other_tensor(path: Path) -> None:
    save_file({"other": torch.zeros(6, 2)}, path, {"picture": fingerprint(SAMPLE.image)})


def few_draws(path: Path) -> None:
    save_file({"noisy": torch.zeros(5, 2)}, path, {"picture": fingerprint(SAMPLE.image)})


def more_draws(path: Path) -> None:
    save_file({"noisy": torch.zeros(2000, 2)}, path, {"picture": fingerprint(SAMPLE.image)})


def flat(path: Path) -> None:
    save_file({"noisy": torch.zeros(6), "clean": torch.zeros(1, 6)}, path, {"picture": fingerprint(SAMPLE.image)})


@pytest.mark.parametrize("damage", [cut, empty, missing, other_tensor, few_draws, more_draws, flat])
@pytest.mark.parametrize("name", ["00000.safetensors", "00001.safetensors", "clean.safetensors"])
def test_damaged_features_are_told_by_their_file_and_made_again(
    damage: Callable[[Path], None], name: str, store: FeatureStore, tmp_path: Path
) -> None:
    path = tmp_path / "000000" / "3" / name
    damage(path)
    assert not store.is_complete(3)
    assert store.indices() == []
    for action in (lambda: store.check_picture(SAMPLE), lambda: list(store.read(3, range(DRAWS)))):
        with pytest.raises(ValueError, match=r"expected kept features|expected whole features at .*\.safetensors"):
            action()
    fill(store)
    assert store.is_complete(3)
    assert torch.cat(list(store.read(3, range(DRAWS)))).shape == (DRAWS, 2)
    assert store.clean(3).tolist() == [1, 1]


def test_files_that_end_while_they_are_read_are_named(store: FeatureStore, tmp_path: Path) -> None:
    found = store.read(3, range(DRAWS))
    next(found)
    few_draws(tmp_path / "000000" / "3" / "00001.safetensors")
    with pytest.raises(ValueError, match=r"expected whole features at .*00001\.safetensors, got .* where 6 draws"):
        next(found)
    cut(tmp_path / "000000" / "3" / "clean.safetensors")
    with pytest.raises(ValueError, match=r"expected whole features at .*clean\.safetensors"):
        store.clean(3)


DAMAGED = ["", "{", "[]", "null", "{}", *(f'{{"draws": {draws}}}' for draws in ('"80"', "-1", "null", "true"))]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_description_is_told(text: str, store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(ValueError, match=r"expected .*store\.json to tell"):
        FeatureStore.load(tmp_path)
    with pytest.raises(ValueError, match=r"expected .*store\.json to tell"):
        FeatureStore(tmp_path, {"sigma": 0.1}, DRAWS)
    assert (tmp_path / "store.json").read_text() == text


def test_features_that_do_not_fit_on_the_disk_are_told(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(feature_store, "save_file", full)
    with pytest.raises(ValueError, match=r"expected to write the features in .*clean\.safetensors"):
        store.begin(SAMPLE, torch.ones(2))


GOOD = {"function": "a", "chosen": "before", "label_functions": 1, "spends": "levels"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([GOOD]),
        json.dumps(GOOD) + "\n" + json.dumps([GOOD]),
        json.dumps([GOOD]) + "\n",
        json.dumps(GOOD | {"chosen": "never"}) + "\n",
        json.dumps(GOOD | {"label_functions": 0}) + "\n",
        json.dumps(GOOD | {"label_functions": "2"}) + "\n",
        json.dumps(GOOD | {"spends": "more"}) + "\n",
        "null\n",
        "",
        "\n",
        "{\n",
    ],
)
def test_a_ledger_that_is_none_is_told(text: str, store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_text(text)
    with pytest.raises(ValueError, match=f"expected a label function .*{LEDGER}"):
        Ledger(store)


def test_a_torn_last_line_of_the_ledger_is_cut_off_before_the_next(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_text(json.dumps(GOOD) + '\n{"functio')
    ledger = Ledger(store)
    ledger.note("b", "after", 1)
    assert [entry["function"] for entry in Ledger(store).entries] == ["a", "b"]


def test_reading_batch_after_batch_opens_each_file_a_few_times(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files of an image for each of its batches would be opened as often as the square of the draws."""
    opened: list[Path] = []
    really = feature_store.opened_features

    def counted(path: Path, *given: Any) -> Any:
        opened.append(path)
        return really(path, *given)

    monkeypatch.setattr(feature_store, "opened_features", counted)
    batches = [range(start, start + 10) for start in range(0, DRAWS, 10)]
    found = torch.cat([part for draws in batches for part in store.read(3, draws)])
    assert torch.equal(found, torch.arange(2.0 * DRAWS).view(DRAWS, 2))
    assert len(opened) <= len(batches) + 5

"""Labels of scores that are no numbers, weights that hold some, and where labels may be taken without asking."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_checkpoints import CLASSES, HEADS, Training
from tiny_models import tiny_model

from hrvlm.models import check_finite, export_model, labels_of, load
from hrvlm.models.export import WEIGHTS_FILE
from hrvlm.models.head_files import WEIGHTS_FILE as HEAD_FILE

ROOT = Path(__file__).parents[2]
NONE = [torch.nan, torch.inf, -torch.inf]
# Where a maximum is no label of scores, or where scores have been found finite before.
ALLOWED = {
    "hrvlm/attacks/score_losses.py": 1,  # the three best scores as values, of which no label is taken
    "hrvlm/certificates/embedding/close_classes.py": 1,  # a lead, of winners that are known to be finite
    "hrvlm/certificates/kinds/joint/counts.py": 1,  # counts
    "hrvlm/certificates/sampling/procedures.py": 1,  # counts
    "hrvlm/certificates/kinds/profile/claim.py": 3,  # counts, and whether any are enough
    "hrvlm/certificates/kinds/semantic/certify.py": 1,  # the first reason that applies
    "hrvlm/certificates/kinds/semantic/speed.py": 1,  # the nearest point of a path
    "hrvlm/certificates/kinds/semantic/stable_arcs.py": 1,  # arcs of classes whose scores are finite
    "hrvlm/data/tar_index.py": 1,  # the largest label of an index
    "hrvlm/generative/decoding.py": 1,  # tokens: what is not finite is masked there
    "hrvlm/generative/oracles/equivalence.py": 1,  # cosines of vectors that are finite
    "hrvlm/generative/targeted_attack.py": 2,  # log-probabilities, NaN as the lowest; the steepest place of a picture
    "hrvlm/generative/transformers_prefix.py": 1,  # the first token of a kind
    "hrvlm/geometry/labels.py": 1,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_a_row_with_a_number_that_is_none_has_no_label(dtype: torch.dtype) -> None:
    rows = [*itertools.product([1.0, -2.0, *NONE], repeat=3), (1.0, 3.0, 3.0), (-5.0, -5.0, -6.0), (0.0, -0.0, 0.0)]
    labels = labels_of(torch.tensor(rows, dtype=dtype))
    for row, label in zip(rows, labels.tolist(), strict=True):
        finite = all(abs(score) < torch.inf for score in row)
        assert label == (row.index(max(row)) if finite else -1)
    assert labels_of(torch.tensor(rows, dtype=dtype).unflatten(0, (-1, 2))).shape == (len(rows) // 2, 2)


def uses_of_maxima(source: str) -> int:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute | ast.Name)]
    return sum(getattr(node, "attr", getattr(node, "id", "")) in ("argmax", "topk") for node in calls)


def test_labels_of_scores_are_taken_in_one_place() -> None:
    found = {
        str(path.relative_to(ROOT)): count
        for path in sorted((ROOT / "hrvlm").rglob("*.py"))
        if (count := uses_of_maxima(path.read_text(encoding="utf-8")))
    }
    assert found == ALLOWED, "use hrvlm.models.labels_of for labels of scores; else say here why not"


def test_a_second_place_would_be_noticed() -> None:
    assert uses_of_maxima("labels = model(x).argmax(dim=1)\nother = torch.topk(x, 1)") == 2


def test_whole_numbers_and_truth_values_are_finite() -> None:
    check_finite({"a": torch.tensor([2**40]), "b": torch.tensor(True), "c": torch.zeros(0)}, "file")
    with pytest.raises(ValueError, match=r"in file, got NaN or infinity in x0, x1, x2 and 2 more"):
        check_finite({f"x{i}": torch.tensor([1.0, torch.nan]) for i in range(5)}, "file")


@pytest.mark.parametrize("none", NONE)
@pytest.mark.parametrize("name", ["visual.attnpool.c_proj.weight", "logit_scale"])
def test_folders_with_such_weights_are_refused_by_name(tmp_path: Path, none: float, name: str) -> None:
    export_model(tiny_model(), tmp_path)
    (tmp_path / "probe" / "probe.safetensors").unlink()  # without it nothing else would notice
    state = load_file(tmp_path / WEIGHTS_FILE)
    state[name].view(-1)[0] = none
    save_file(state, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ValueError, match=rf"finite weights in .*{WEIGHTS_FILE}, got NaN or infinity in {name}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("file", "name", "content"),
    [
        ("head/probe.safetensors", "logits", torch.full((3, 4, 3), torch.inf)),
        ("head/probe.safetensors", "logits", torch.ones(3, 4, 3, dtype=torch.bool)),
        ("head/probe.safetensors", "logits", torch.ones(0)),
        ("probe/probe.safetensors", "tokens", torch.zeros(3, 8)),
        ("probe/probe.safetensors", "tokens", torch.full((3, 8), 10**6)),
        ("probe/probe.safetensors", "tokens", torch.zeros((3, 0), dtype=torch.int64)),
    ],
)
def test_probes_of_heads_that_no_export_writes_are_refused(
    tmp_path: Path, file: str, name: str, content: torch.Tensor
) -> None:
    model = tiny_model()
    export_model(model, tmp_path, head=HEADS["poincare"](model), classes=CLASSES)
    save_file(load_file(tmp_path / file) | {name: content}, tmp_path / file)
    with pytest.raises(ValueError, match=f"expected {name} in the probe batch|expected the head of a model"):
        load(tmp_path)


def test_heads_with_such_numbers_are_refused_by_name(tmp_path: Path) -> None:
    model = tiny_model()
    export_model(model, tmp_path, head=HEADS["poincare"](model), classes=CLASSES)
    state = load_file(tmp_path / HEAD_FILE)
    state["log_text_scales"][1] = torch.nan
    save_file(state, tmp_path / HEAD_FILE)
    with pytest.raises(ValueError, match="got NaN or infinity in log_text_scales"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["model.clip.visual.attnpool.c_proj.weight", "objective.head.log_temperature"])
def test_checkpoints_with_such_weights_are_refused_by_name(tmp_path: Path, name: str) -> None:
    model = tiny_model()
    checkpoint = Training(model, HEADS["poincare"](model)).checkpoint()
    checkpoint["state_dict"]["teacher.weight"][0] = torch.inf  # has no part in what is loaded
    torch.save(checkpoint, tmp_path / "last.ckpt")
    load(tmp_path / "last.ckpt")
    checkpoint["state_dict"][name].view(-1)[-1] = torch.inf
    torch.save(checkpoint, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=f"got NaN or infinity in {name.removeprefix('model.')}"):
        load(tmp_path / "last.ckpt")


def test_a_model_with_such_weights_is_not_exported(tmp_path: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.clip.visual.attnpool.c_proj.weight[0, 0] = 1e6  # finite, but not in 16 bits
    with pytest.raises(ValueError, match=r"got NaN or infinity in visual\.attnpool\.c_proj\.weight"):
        export_model(model, tmp_path / "folder", half=True)
    assert not (tmp_path / "folder").exists()

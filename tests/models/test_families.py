"""One architecture of every family: built by name, trained, stored, and brought back where nothing can be fetched."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file
from sweeps import sweep
from tiny_families import FAMILIES, bert, hub, t5

from hrvlm.generative.captioner import Captioner, Vocabulary
from hrvlm.generative.captioner_files import export_captioner, load_captioner
from hrvlm.models import CosineHead, VisionLanguageModel, export_model, load
from hrvlm.models.building import from_config, from_open_clip, image_model
from hrvlm.models.checkpoints import describe
from hrvlm.models.companions import SAMPLES, StoredTokenizer, stored_tokenizer

TEXTS = [
    "a picture of a fox",
    "red apple, on a boat!",
    "a dark picture of a very small and long described cat on a boat",
]


def stepped(model: VisionLanguageModel) -> VisionLanguageModel:
    """One step of contrastive training of what fine-tuning trains."""
    for parameter in (*model.clip.visual.parameters(), *model.text_projection_parameters()):
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    trained = [*model.clip.visual.parameters(), *model.text_projection_parameters()]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    texts = torch.nn.functional.normalize(model.project_text(model.text_hidden(TEXTS)), dim=-1)
    logits = model.logit_scale * model.image_features(pictures(model)) @ texts.T
    torch.nn.functional.cross_entropy(logits, torch.arange(3)).backward()
    optimizer.step()
    return model.eval()


def pictures(model: VisionLanguageModel) -> torch.Tensor:
    return torch.rand(3, 3, *model.image_size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, VisionLanguageModel]:
    """The families after a step; what was found under names of the hub is gone."""
    with torch.random.fork_rng(devices=[]), hub(tmp_path_factory.mktemp("hub")):
        torch.manual_seed(0)
        return {name: stepped(from_open_clip(f"tiny_{name}", None)) for name in FAMILIES}


def features(model: VisionLanguageModel) -> list[torch.Tensor]:
    with torch.no_grad():
        texts = model.encode_text(TEXTS)
        return [model.tokenize(TEXTS), model.encode_image(pictures(model)), texts, model.logit_scale]


@pytest.mark.parametrize("name", sweep(FAMILIES, quick=("vit", "timm", "siglip")))
def test_what_was_trained_comes_back(models: dict[str, VisionLanguageModel], name: str, tmp_path: Path) -> None:
    model, head = models[name], CosineHead(logit_scale=7.0)
    weights = {f"model.{key}": value for key, value in model.state_dict().items()}
    weights |= {f"objective.head.{key}": value for key, value in head.state_dict().items()}
    stored = {"hrvlm": describe(model, head, ["fox", "apple", "cat"]), "state_dict": weights}
    torch.save(stored, tmp_path / "run.ckpt")
    export_model(model, tmp_path / "exported", head=head, classes=["fox", "apple", "cat"])
    expected = features(model)
    for path in (tmp_path / "run.ckpt", tmp_path / "exported"):
        loaded = load(path)
        assert loaded.classes == ("fox", "apple", "cat")
        assert all(torch.equal(a, b) for a, b in zip(features(loaded.model), expected, strict=True)), path
        assert loaded.model.embed_dim == model.embed_dim == expected[1].shape[1]
        again = export_model(loaded.model, tmp_path / f"again_{path.stem}")
        assert load(again).model.files == model.files


@pytest.mark.parametrize("name", FAMILIES)
def test_texts_split_at_the_projection(models: dict[str, VisionLanguageModel], name: str) -> None:
    model = models[name]
    with torch.no_grad():
        torch.testing.assert_close(model.project_text(model.text_hidden(TEXTS)), model.encode_text(TEXTS))
        assert not torch.allclose(model.encode_image(pictures(model)).norm(dim=1), torch.ones(3))  # not normalised
        tower = model.frozen_image_tower()
        torch.testing.assert_close(tower.encode_image(pictures(model)), model.encode_image(pictures(model)))
        alone = image_model(model.config, name="alone")
        alone.clip.visual.load_state_dict(model.clip.visual.state_dict())
        torch.testing.assert_close(alone.encode_image(pictures(model)), model.encode_image(pictures(model)))


@pytest.mark.parametrize(
    ("name", "objective"),
    sweep(
        [("siglip", "HierarchicalObjective"), ("coca", "FAREObjective"), ("roberta", "TeCoAObjective")],
        quick=[("roberta", "TeCoAObjective")],
    ),
)
def test_a_run_of_training_leaves_a_checkpoint_and_an_export(
    models: dict[str, VisionLanguageModel],
    name: str,
    objective: str,
    make_settings: Any,
    run_train: Any,
    tmp_path: Path,
) -> None:
    start = export_model(models[name], tmp_path / "start")
    chosen = make_settings(tmp_path)
    export = {"class_path": "hrvlm.callbacks.ExportModel", "init_args": {"folder": str(tmp_path / "end")}}
    saved = next(found for found in chosen["trainer"]["callbacks"] if "ModelCheckpoint" in found["class_path"])
    chosen["trainer"] |= {
        "max_epochs": 1,
        "limit_train_batches": 1,
        "limit_val_batches": 1,
        "callbacks": [export, saved],
    }
    settings = {
        "class_path": f"hrvlm.objectives.{objective}",
        "init_args": {"threat_model": {"eps": 0.01}, "ascent": {"step_size": 0.01, "steps": 1}},
    }
    chosen["model"]["init_args"] |= {"model": str(start), "objective": settings}
    folder = run_train(tmp_path, chosen)
    ends = [load(path) for path in (folder / "checkpoints" / "0.ckpt", tmp_path / "end")]
    found = [features(end.model) for end in ends]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert not torch.equal(found[0][1], features(models[name])[1])
    assert ends[0].classes == ends[1].classes is not None


@pytest.mark.parametrize("name", ["siglip", "coca"])
def test_a_captioner_of_any_tower_comes_back(models: dict[str, VisionLanguageModel], name: str, tmp_path: Path) -> None:
    captioner = Captioner(models[name], Vocabulary(["a", "fox"]), width=16, layers=1, heads=2, context=6)
    loaded = load_captioner(export_captioner(captioner.eval(), tmp_path / "captioner"))
    again = load_captioner(export_captioner(loaded, tmp_path / "again"))
    images = pictures(models[name])
    with torch.no_grad():
        found = [maker.log_probability(images, ["a fox", "fox", ""]) for maker in (captioner, loaded, again)]
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])


@pytest.mark.parametrize("name", [name for name in FAMILIES if "hf_model_name" not in FAMILIES[name]["text_cfg"]])
def test_plain_open_clip_loads_exports(models: dict[str, VisionLanguageModel], name: str, tmp_path: Path) -> None:
    folder = export_model(models[name], tmp_path / "exported")
    clip = open_clip.create_model(f"local-dir:{folder}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    assert torch.equal(tokenizer(TEXTS), models[name].tokenize(TEXTS))
    with torch.no_grad():
        torch.testing.assert_close(clip.encode_text(tokenizer(TEXTS), normalize=False), models[name].encode_text(TEXTS))
    probe = load_file(folder / "probe" / "probe.safetensors")
    if name != "coca":  # has no get_logits
        with torch.no_grad():
            logits, _ = clip.get_logits(models[name].preprocess(probe["images"]), probe["tokens"])
        torch.testing.assert_close(logits, probe["logits"], rtol=1e-4, atol=1e-4)
    assert ("logit_bias" in probe) == (name == "siglip")


@pytest.mark.parametrize("make", [t5, bert])
@pytest.mark.parametrize("settings", [{}, {"clean": "canonicalize"}, {"clean": "lower"}])
def test_stored_tokenizers_give_the_tokens_of_open_clips(make: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    special = {"strip_sep_token": True} if make is bert else {}
    for mode in (None, *(["clips"] if make is bert else [])):
        given = {"context_length": 9, "tokenizer_mode": mode, **settings, **(special if mode is None else {})}
        theirs = open_clip.tokenizer.HFTokenizer(str(tmp_path), **given)
        kwargs = settings | (special if mode is None else {})
        ours = stored_tokenizer(theirs, {"context_length": 9, "tokenizer_mode": mode, "tokenizer_kwargs": kwargs})
        texts = [*SAMPLES, *TEXTS, "A  Red fox-boat", "[SEP] a [CLS] </s> fox", "A RED &amp; apple"]
        assert torch.equal(ours(texts), theirs(texts))
        assert torch.equal(ours(texts, context_length=11), theirs(texts, context_length=11))
        assert torch.equal(ours(texts[0]), theirs(texts[0]))


def test_left_padding_and_cutting_are_kept(tmp_path: Path) -> None:
    tokenizer = t5()
    tokenizer.padding_side = tokenizer.truncation_side = "left"
    tokenizer.save_pretrained(tmp_path)
    for length in (5, 12):  # cuts every text, and pads some
        theirs = open_clip.tokenizer.HFTokenizer(str(tmp_path), context_length=length)
        theirs.tokenizer.padding_side = theirs.tokenizer.truncation_side = "left"
        assert torch.equal(stored_tokenizer(theirs, {"context_length": length})(TEXTS), theirs(TEXTS))


def test_what_cannot_be_kept_is_refused_before_training(models: dict[str, VisionLanguageModel]) -> None:
    class Slow(open_clip.tokenizer.HFTokenizer):
        def __init__(self) -> None:
            self.tokenizer = object()

    with pytest.raises(ValueError, match="or one of the package tokenizers, got object, which could not be kept"):
        stored_tokenizer(Slow(), {})
    model = models["siglip"]
    settings = '{"pad_token": "nowhere"}'
    with pytest.raises(ValueError, match=r"expected a tokenizer with pad_token in tokenizer_config\.json, got none"):
        StoredTokenizer(model.files | {"tokenizer_config.json": settings}, context_length=4)
    with pytest.raises(ValueError, match=r"expected a JSON object in tokenizer_config\.json, got list"):
        StoredTokenizer(model.files | {"tokenizer_config.json": "[1]"}, context_length=4)
    with pytest.raises(ValueError, match=r"expected a readable tokenizer\.json"):
        StoredTokenizer(model.files | {"tokenizer.json": "{}"}, context_length=4)
    tower = '{"model_type": "own", "auto_map": {"AutoConfig": "code.Config"}}'
    roberta = models["roberta"]
    with pytest.raises(ValueError, match=r"expected model_type of .*roberta.*, got 'own'"):
        from_config(roberta.config, name="x", files=roberta.files | {"text_tower/config.json": tower})


@pytest.mark.parametrize(
    ("altered", "said"),
    [
        ({"num_hidden_layers": 100_000}, "expected num_hidden_layers of at most 512, got 100000"),
        ({"num_hidden_layers": 300, "hidden_size": 400}, "of weights are given, got one of"),
    ],
)
def test_text_towers_that_ask_for_more_than_their_weights_are_not_built(
    altered: dict[str, int], said: str, models: dict[str, VisionLanguageModel]
) -> None:
    """Their settings lie beside the model, in a file that may be anybody's."""
    roberta = models["roberta"]
    tower = json.loads(roberta.files["text_tower/config.json"]) | altered
    files = roberta.files | {"text_tower/config.json": json.dumps(tower)}
    num_bytes = sum(value.nbytes for value in roberta.clip.state_dict().values())
    from_config(roberta.config, name="x", num_bytes=num_bytes, files=roberta.files)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=f"expected model_cfg of 'x' to describe an open_clip model: .*{said}"):
        from_config(roberta.config, name="x", num_bytes=num_bytes, files=files)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB; the second would take 800 MB

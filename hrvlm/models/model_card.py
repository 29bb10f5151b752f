"""A model card for an exported folder: what the run's description knows is filled in, the rest is marked to be filled.

The form is that of public model hubs: a YAML head, then headings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hrvlm.models._head import Head
from hrvlm.models.heads import PoincareHead

CARD_FILE, NEW_CARD_FILE = "README.md", "README.new.md"
# Settings of a run, and where runs had them before they stood in values.
OBJECTIVE_SETTINGS = {
    "head": ("head.kind", "head"),
    "strategy": ("strategy",),
    "hnsa": ("hnsa",),
    "weights.vicinity": ("weights.vicinity", "lambda_vicinity"),
    "weights.order": ("weights.order", "lambda_order"),
    "zeta_vicinity": ("zeta_vicinity",),
    "zeta_gap": ("zeta_gap",),
}
OPTIMIZER_SETTINGS = {name: (f"optimizer.{name}", name) for name in ("learning_rate", "weight_decay")} | {
    "seed": ("seed",)
}

TEMPLATE = """---
library_name: open_clip
pipeline_tag: zero-shot-image-classification
tags: [clip, adversarial-robustness, hrvlm]
license: {licence}
---

# {title}

{summary}

## Model

| | |
| --- | --- |
| base model | {base} |
| weights stored in | {precision} |
| classifier head | {head} |

## Training

| | |
| --- | --- |
| data | {data} |
| classes | {classes} |
| objective | {objective} |
| trees | {trees} |
| threat model | {threat} |
| schedule | {schedule} |

## How to load

As a plain CLIP model, with open_clip alone:

```python
import open_clip

model, _, preprocess = open_clip.create_model_and_transforms("local-dir:FOLDER")
tokenizer = open_clip.get_tokenizer("local-dir:FOLDER")
model.eval()
```

`probe/probe.safetensors` holds images in [0, 1], tokens (of the texts in `probe/texts.json`) and the logits that this
model gives them, to check an installation with.

With hrvlm, which takes images in [0, 1], normalises them itself{head_hint}:

```python
import hrvlm

loaded = hrvlm.models.load("FOLDER")  # .model, .head, .classes
```

## What is known of its robustness

[fill in: accuracy per level, clean and under which attack; certificates, with the share of images they hold for]

Robustness was trained for the threat model above only and holds, where it is not certified, against the attacks that
were tried.

## Intended use and limits

[fill in: what it is for, what it was not tested on, known biases of the data]
"""


def model_card(
    name: str,
    *,
    head: Head | None = None,
    classes: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    half: bool = False,
    noise: str | None = None,
) -> str:
    """Writes the card.

    Args:
        name: The model's name in records.
        head: The head trained with it, if any.
        classes: Class ids that it was trained on.
        settings: The run's configuration as training writes it to `config.yaml`; files are named, folders left out.
        half: Whether the weights are stored in 16 bits.
        noise: What it was trained under besides attacks, in words.

    Returns:
        Markdown with a YAML head; what is not known reads "[fill in: …]".
    """
    run = _part(settings, "model", "init_args")
    objective = _part(run, "objective")
    base = _named(run.get("model"), run.get("pretrained")) or name
    return TEMPLATE.format(
        licence="other  # fill in",
        title=f"{base}, fine-tuned with hrvlm" if run else name,
        summary="[fill in: what this model is, in two sentences]",
        base=base,
        precision="16-bit floating point (matrices and convolutions), the rest in 32 bits" if half else "32 bits",
        head=_head(head),
        data=_data(_part(settings, "data")),
        classes="[fill in: which]" if classes is None else f"{len(classes)}, listed in `head/head.json`",
        objective=_objective(objective),
        trees=_trees(run),
        threat=_threat(_part(objective, "init_args")) + ("" if noise is None else f"; {noise}"),
        schedule=_schedule(settings, run),
        head_hint="" if head is None else ", and has the trained head",
    )


def _part(settings: Mapping[str, Any] | None, *keys: str) -> Mapping[str, Any]:
    """A part of the configuration, empty where it is missing or of another form."""
    found: Any = settings
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _named(model: Any, tag: Any) -> str | None:
    """A base model by name; of a path only its last part."""
    if not isinstance(model, str):
        return None
    return f"{Path(model).name}/{tag}" if tag else Path(model).name


def _class(part: Mapping[str, Any]) -> str | None:
    path = part.get("class_path")
    return f"`{path.rpartition('.')[2]}`" if isinstance(path, str) else None


def _value(settings: Mapping[str, Any], *places: str) -> Any:
    """What stands in the first of some places, such as "threat_model.eps", that holds a plain value."""
    for place in places:
        found: Any = settings
        for key in place.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is not None and not isinstance(found, Mapping):
            return found
    return None


def _listed(settings: Mapping[str, Any], places: Mapping[str, Sequence[str]] | Sequence[str]) -> str:
    """Names and values; of names without places, those are the places."""
    named = places if isinstance(places, Mapping) else {name: (name,) for name in places}
    values = {name: _value(settings, *where) for name, where in named.items()}
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


@torch.no_grad()
def _head(head: Head | None) -> str:
    if head is None:
        return "cosine, with the model's own scale"
    if isinstance(head, PoincareHead):
        scales = ", ".join(f"{float(scale):.3g}" for scale in head.text_scales)
        numbers = f"curvature {float(head.curv):.3g}, temperature {float(head.temperature):.3g}, text scales {scales}"
        return f"Poincaré ball ({numbers}), in `head/`"
    return "cosine with a scale of its own, in `head/`"


def _data(data: Mapping[str, Any]) -> str:
    found = _class(data)
    return "[fill in: which data, under which licence]" if found is None else f"{found} [fill in: its licence]"


def _objective(objective: Mapping[str, Any]) -> str:
    found = _class(objective)
    if found is None:
        return "[fill in]"
    chosen = _listed(_part(objective, "init_args"), OBJECTIVE_SETTINGS)
    return f"{found} ({chosen})" if chosen else found


def _trees(run: Mapping[str, Any]) -> str:
    trees = run.get("trees")
    if not isinstance(trees, Sequence) or isinstance(trees, str):
        return "[fill in, or none]"
    names = ", ".join(f"`{Path(str(tree)).name}`" for tree in trees)
    return f"{names}, at most {run['num_levels']} levels" if run.get("num_levels") else names


def _threat(values: Mapping[str, Any]) -> str:
    eps, steps = _value(values, "threat_model.eps", "eps"), _value(values, "ascent.steps", "steps")
    if not isinstance(eps, int | float) or not isinstance(steps, int):
        return "[fill in: norm, budget in pixels of [0, 1], steps]"
    if not eps or not steps:
        return "none: trained on clean images"
    norm, step = _value(values, "threat_model.norm", "norm"), _value(values, "ascent.step_size", "step_size")
    eps_text = _value(values, "text_perturbation.eps", "eps_text")
    text = f", texts {eps_text:g} per entry" if eps_text else ""
    size = f", step {step * 255:.3g}/255" if isinstance(step, int | float) else ""
    return f"{norm or 'linf'}, eps {eps * 255:.3g}/255 of images in [0, 1], {steps} steps{size}{text}"


def _schedule(settings: Mapping[str, Any] | None, run: Mapping[str, Any]) -> str:
    trainer = _part(settings, "trainer")
    shown = _listed(trainer, ("max_epochs", "max_steps", "devices", "precision"))
    batch = _listed(_part(settings, "data", "init_args"), ("batch_size",))
    chosen = ", ".join(filter(None, (shown, batch, _listed(run, OPTIMIZER_SETTINGS))))
    return chosen or "[fill in: epochs, batch size, learning rate, seed]"

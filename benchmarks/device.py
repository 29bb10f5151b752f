"""What an accelerator does: bits of noise, agreement with the processor, training steps, certification, memory.

    python benchmarks/device.py [--parts noise training] [--again] [--device cuda]
    python benchmarks/device.py --device cpu --tiny --model emoji --result FILE     every part; no figure counts

Writes benchmarks/results/device.json after every part; run again, it goes on with the missing ones. After `--seconds`
(330) no further part is begun. Throughput is the median over repeats that take turns with what they are compared with.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from device_steps import TrainingSteps, training_steps
from generated_forest import generated_forest

import hrvlm
from hrvlm.certificates import Sample
from hrvlm.certificates.noise.device import makes_noise
from hrvlm.certificates.run.images import certify_images
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.sampling.batches import Drawing, NoiseMode, noisy_batch
from hrvlm.certificates.sampling.stream import Execution, count_labels
from hrvlm.models import HierarchicalClassifier, VisionLanguageModel, inference_copy, load
from hrvlm.models.checkpoints import base_model

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "device.json"
CPU = torch.device("cpu")
SIGMA = 0.25
NOISES: tuple[NoiseMode, ...] = ("float32", "grid")


@dataclass(frozen=True)
class Setting:
    """How much is measured, and where.

    Attributes:
        device: the accelerator.
        tiny: whether sizes are those of a test.
        name: of the model, untrained if it is an architecture.
    """

    device: torch.device
    tiny: bool
    name: str

    def size(self, whole: int, tiny: int) -> int:
        """A size of this setting."""
        return tiny if self.tiny else whole

    def model(self) -> VisionLanguageModel:
        """The model, on the device."""
        torch.manual_seed(0)
        return base_model(self.name, None).to(self.device)

    def wait(self) -> None:
        """Until the device has done all that it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object]) -> float:
        """Time of work, to its end."""
        self.wait()
        begin = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - begin

    def rates(self, amount: int, *works: Callable[[], object]) -> list[float]:
        """Medians of amount per second of pieces of work that take turns, warmed up."""
        found: list[list[float]] = [[] for _ in works]
        for turn in range(1 + self.size(7, 1)):
            for times, work in zip(found, works, strict=True):
                seconds = self.seconds(work)
                if turn:
                    times.append(amount / seconds)
        return [statistics.median(times) for times in found]


def noise_part(setting: Setting) -> dict[str, Any]:
    """Whether noise has the processor's bits, and how fast both make it."""
    side, draws = setting.size(224, 20), setting.size(512, 3)
    pixels = (torch.rand(3, side, side, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    samples = [Sample(index, pixels, {}) for index in (0, 2**32 - 1)]
    few = [(samples[0], range(5)), (samples[1], range(2**60, 2**60 + 3)), (samples[0], range(9, 10))]
    found: dict[str, Any] = {"made_on_device": makes_noise(setting.device)}
    for noise in NOISES:
        drawing, many = Drawing(SIGMA, 2**63 + 7, noise), [(samples[1], range(draws))]
        equal = torch.equal(noisy_batch(few, drawing, setting.device).cpu(), noisy_batch(few, drawing, CPU))
        (rate,) = setting.rates(draws, lambda d=drawing, m=many: noisy_batch(m, d, setting.device))
        begin = time.perf_counter()
        noisy_batch(few, drawing, CPU)
        one_core = 9 / (time.perf_counter() - begin)
        found[noise] = {"bits_equal": equal, "copies_per_second": rate, "copies_per_second_of_one_core": one_core}
    return found | {"shape": [3, side, side]}


def agreement_part(setting: Setting) -> dict[str, Any]:
    """Labels and radii of packaged pictures, on the device and on the processor."""
    data, loaded = hrvlm.data.emoji("unseen_artist"), load("emoji")
    levels = 1 if setting.tiny else None
    forest = hrvlm.load_forest([ROOT / "trees" / "emoji_unicode.yaml"], leaves=data.class_names, num_levels=levels)
    given = {"n0": setting.size(32, 4), "n": setting.size(256, 30), "alpha": 0.05, "sigma": 0.1, "batch_size": 128}
    plan = CertificationPlan(num_images=setting.size(50, 2), semantic=False, **given)
    rows = []
    for place in (CPU, setting.device):
        classifier = HierarchicalClassifier(loaded.model, loaded.head, forest).to(place)
        made = certify_images(classifier, data, plan.indices(len(data)), plan)
        rows.append([record for records in made for record in records])
    pairs = list(zip(*rows, strict=True))
    gaps = [abs(one.radius - other.radius) for one, other in pairs if one.prediction == other.prediction]
    return {
        "pictures": plan.num_images,
        "statements": len(pairs),
        "same_label": sum(one.prediction == other.prediction for one, other in pairs),
        "same_radius": sum(one.radius == other.radius and one.prediction == other.prediction for one, other in pairs),
        "largest_gap_of_radii": max(gaps, default=0.0),
    }


def peak_part(setting: Setting) -> dict[str, Any]:
    """Floating-point operations a second of a large product of matrices in bfloat16."""
    size = setting.size(8192, 64)
    one, other = (torch.randn(size, size, device=setting.device, dtype=torch.bfloat16) for _ in range(2))
    (rate,) = setting.rates(2 * size**3, lambda: one @ other)
    return {"matrix_size": size, "flops_per_second": rate}


def training_part(setting: Setting) -> dict[str, Any]:
    """Steps of TeCoA and of the hierarchical objective, compiled or not."""
    model, leaves, levels = setting.model(), setting.size(1000, 12), setting.size(6, 3)
    batch = setting.size(256, 4)
    peak = peak_part(setting)["flops_per_second"]
    found: dict[str, Any] = {"batch": batch, "precision": "bf16-mixed", "attack_steps": 3}
    for name, trees in (("tecoa", 1), ("hierarchical, 1 tree", 1), ("hierarchical, 5 trees", 5)):
        steps: TrainingSteps = training_steps(model, name, generated_forest(trees, leaves, levels), batch)
        row: dict[str, Any] = {}
        for how, backend in (("plain", None), ("compiled", "eager" if setting.tiny else "inductor")):
            with steps.executed(backend):
                (rate,) = setting.rates(batch, steps)
            row |= {how: {"pictures_per_second": rate, "share_of_peak": steps.flops() * rate / batch / peak}}
        found[name] = row
    return found


def certification_part(setting: Setting) -> dict[str, Any]:
    """Noisy copies a second from pixels to counts, over the bare encoder's on copies that lie ready."""
    model = inference_copy(setting.model())
    side, batch, draws = model.image_size, setting.size(512, 8), setting.size(8192, 16)
    pixels = (torch.rand(3, *side, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    texts = torch.randn(1000, model.embed_dim, device=setting.device)
    ready = noisy_batch([(Sample(0, pixels, {}), range(batch))], Drawing(SIGMA, 0), setting.device)

    def labels(images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"leaf": (model.encode_image(images).float() @ texts.T).argmax(dim=1)}

    def bare() -> None:
        with torch.no_grad(), torch.autocast(setting.device.type, torch.bfloat16):
            for _ in range(draws // batch):
                labels(ready)

    execution = Execution(device=setting.device, precision="bfloat16")
    found: dict[str, Any] = {"draws": draws, "batch": batch, "precision": "bfloat16"}
    for noise in NOISES:

        def counted(drawing: Drawing = Drawing(SIGMA, 0, noise)) -> None:  # noqa: B008
            given = {"drawing": drawing, "batch_size": batch, "execution": execution}
            for _ in count_labels(labels, [Sample(0, pixels, {})], {"leaf": 1000}, [range(draws)], **given):
                pass

        whole, encoder = setting.rates(draws, counted, bare)
        found[noise] = {"copies_per_second": whole, "bare_encoder": encoder, "ratio": whole / encoder}
    return found


def memory_part(setting: Setting) -> dict[str, Any]:
    """Largest memory of the device while few and many copies of a picture are counted."""
    model = inference_copy(setting.model())
    pixels, found = torch.rand(3, *model.image_size), {}

    def labels(images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"leaf": model.encode_image(images).argmax(dim=1)}

    for draws in (setting.size(1_000, 10), setting.size(50_000, 40)):
        if setting.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(setting.device)
        execution = Execution(device=setting.device, precision="bfloat16")
        given = {"drawing": Drawing(SIGMA, 0), "batch_size": setting.size(256, 5), "execution": execution}
        classes = {"leaf": model.embed_dim}
        for _ in count_labels(labels, [Sample(0, pixels, {})], classes, [range(draws)], **given):
            pass
        there = setting.device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(setting.device) / 2**20 if there else None
        found[str(draws)] = {"peak_mebibytes": peak}
    return {"draws": found}


PARTS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "noise": noise_part,
    "agreement": agreement_part,
    "peak": peak_part,
    "certification": certification_part,
    "memory": memory_part,
    "training": training_part,
}


def machine(setting: Setting) -> dict[str, Any]:
    """Device and versions; no names of hosts."""
    there = setting.device.type == "cuda"
    name = torch.cuda.get_device_name(setting.device) if there else "processor"
    return {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "model": setting.name}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measures the missing parts, writes and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--again", action="store_true", help="measure parts anew that are there")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--tiny", action="store_true", help="sizes of a test")
    parser.add_argument("--model", default="ViT-B-32", help="an architecture, or a folder of a model")
    parser.add_argument("--seconds", type=float, default=330.0, help="after these no part is begun")
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args(arguments)
    setting, begin = Setting(given.device, given.tiny, given.model), time.perf_counter()
    result: dict[str, Any] = {"machine": machine(setting), "parts": {}}
    if given.result.is_file():
        earlier = json.loads(given.result.read_text(encoding="utf-8"))
        result["parts"] = earlier["parts"] if earlier["machine"] == result["machine"] else {}
    for name in given.parts:
        if name in result["parts"] and not given.again:
            continue
        if time.perf_counter() - begin > given.seconds:
            print(f"{name} is left for the next run")
            continue
        seconds = setting.seconds(lambda name=name: result["parts"].__setitem__(name, PARTS[name](setting)))
        result["parts"][name]["seconds"] = seconds
        given.result.parent.mkdir(parents=True, exist_ok=True)
        given.result.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(name, json.dumps(result["parts"][name]), flush=True)
    return result


if __name__ == "__main__":
    main()

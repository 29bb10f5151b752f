"""The table of benchmarks/smoothing.py, made from its result file and quoted in docs/smoothing.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machines import told

RESULTS = Path(__file__).parent / "results"
RESULT, TABLE = RESULTS / "smoothing.json", RESULTS / "smoothing.md"
ENCODER, PLAIN, MEMORY, PROFILE = 0.9, 3.0, 1.05, 1.05
TARGETS = {10_000: (0.01, 5), 100_000: (0.03, 50)}
"""Of adaptive decisions, by the fixed n: the share of images that may be lost, and how many times fewer samples."""
HEADER = ("compared", "wall time", "processor time", "target", "verdict, by wall / processor time")
Line = tuple[str, str, str, str, str]


def verdict(value: float, target: float, *, at_least: bool) -> str:
    """Whether a target is met, and by how much."""
    ahead = value - target if at_least else target - value
    return f"met by {ahead:.3g}" if ahead >= 0 else f"missed by {-ahead:.3g}"


def _throughput(case: str, part: dict[str, Any]) -> Iterator[Line]:
    for name, values in part.items():
        if not isinstance(values, dict):
            continue
        if name == "loop":
            wall, processor = (f"{values[f'copies_per_{clock}_second']:.0f}" for clock in ("wall", "processor"))
            yield f"noisy copies per second of the loop, {case}", wall, processor, "", ""
            continue
        ratios = [values[f"loop_over_it_by_{clock}"] for clock in ("wall", "processor")]
        target = ENCODER if name == "encoder" else PLAIN
        found = " / ".join(verdict(ratio, target, at_least=True) for ratio in ratios)
        title = f"loop / {'bare encoder' if name == 'encoder' else name}, {case}"
        yield title, f"{ratios[0]:.3f}", f"{ratios[1]:.3f}", f">= {target:g}", found


def _decisions(part: dict[str, Any]) -> Iterator[Line]:
    shares = part["share_certified_and_correct"]
    for n, (loss, factor) in TARGETS.items():
        gap = shares[str(n)] - shares["adaptive"]
        text = f"share certified, n = {n:,} / adaptive, {part['images']} images"
        both = f"{shares[str(n)]:.4f} / {shares['adaptive']:.4f}"
        simulated = part["answers_known_by"][str(n)]["simulated"]
        found = verdict(abs(gap), loss, at_least=False) + (f", {simulated} answers simulated" if simulated else "")
        yield text, both, "", f"within {loss:g}", found
        fewer = part["times_fewer_samples"][str(n)]
        yield (
            f"samples, n = {n:,} / adaptive",
            f"{fewer:.1f}",
            "",
            f">= {factor:g}",
            verdict(fewer, factor, at_least=True),
        )


def lines(result: dict[str, Any]) -> Iterator[Line]:
    """What is shown and quoted."""
    parts = result["parts"]
    for case, part in parts.get("throughput", {}).items():
        yield from _throughput(case, part)
    if "memory" in parts:
        few, many = parts["memory"]["peak_mebibytes"].items()
        ratio = many[1] / few[1]
        text = f"peak memory, n = {many[0]} / n = {few[0]} ({many[1]:.0f} / {few[1]:.0f} MiB)"
        yield text, f"{ratio:.3f}", "", f"<= {MEMORY:g}", verdict(ratio, MEMORY, at_least=False)
    if "profile" in parts:
        ratio = parts["profile"]["over_leaves_by_processor"]
        found = verdict(ratio, PROFILE, at_least=False)
        yield "full profiles of two trees / leaves alone", "", f"{ratio:.3f}", f"<= {PROFILE:g}", found
    if "pace" in parts:
        part = parts["pace"]
        text = (
            f"decisions per second, adaptive loop / plain loop of n = {part['n']:,}, batches of {part['plain_batch']}"
        )
        faster = part["times_faster"]
        yield text, f"{faster:.1f}", "", f">= {PLAIN:g}", verdict(faster, PLAIN, at_least=True)
    if "decisions" in parts:
        yield from _decisions(parts["decisions"])


def markdown(result: dict[str, Any]) -> str:
    """The table, and what it was measured on."""
    rows = [HEADER, ("---",) * len(HEADER), *lines(result)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"{table}\n\nMeasured on: {told(result['machine'])}.\n{_notes(result)}"


def _notes(result: dict[str, Any]) -> str:
    """How busy the machine was, and where the answers of n = 100,000 come from."""
    parts = result["parts"]
    loads = [f"{part['load_after']:.1f}" for part in parts.get("throughput", {}).values()]
    text = f"Load of the machine at the end of the cases: {', '.join(loads)}.\n" if loads else ""
    if "decisions" in parts:
        part = parts["decisions"]
        text += f"Adaptive decisions used {part['samples_per_image']['adaptive']:.0f} samples per image.\n"
        for n, known in part["answers_known_by"].items():
            text += (
                f"Answers of n = {int(n):,}: {known['drawn']} known from real draws, "
                f"{known['simulated']} simulated from measured counts.\n"
            )
    return text

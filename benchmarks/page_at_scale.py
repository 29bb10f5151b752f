"""The page of a large run: what it costs to make from rows, how large it is, and how long a browser takes to open it.

    python benchmarks/page_at_scale.py [--images 10000]

Rows are smoothing certificates of six levels of two trees, as `rows_at_scale.py` makes them, and semantic ones of six
changes at the same levels, of embeddings drawn around those of the classes: 42 rows per image. A few hundred images are
certified, and repeated under other numbers. The page is made by `certify.py report` in a process of its own, start-up
included; and once more with the pictures of the packaged data, repeated too, which loads torch besides. The latter is
opened by a headless Chromium: seconds from the start of the navigation until scripts have run and the page is laid out.
Writes benchmarks/results/page_at_scale.json.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machines import machine
from rows_at_scale import LEVELS, N0, ROWS, N, counts_of, of_command, record, settings

from hrvlm.certificates import AffineScorer, SemanticRecord, semantic_partition
from hrvlm.certificates.kinds.semantic.evidence import semantic_evidence
from hrvlm.evaluation.folder_names import SETTINGS
from hrvlm.reports.folder_page import REPORT

RESULT = Path(__file__).parent / "results" / "page_at_scale.json"
CHANGES = ("small", "turned", "bright", "dark", "grey", "on blue")
PROMPTS = ("a picture of a {}", "a {change} picture of a {}")
DELTAS = (0.05, 0.1)
DISTINCT, WIDTH = 240, 128
TRIES = 3
OPENED = """<script>addEventListener("load", () => {
  const height = document.body.offsetHeight, told = document.createElement("p");
  told.textContent = `opened: ${performance.now()} ms, ${height} pixels, ${document.images.length} pictures`;
  document.body.append(told);
});</script>"""


def noted(images: int) -> dict[str, Any]:
    """What a run of these rows notes."""
    changes = [{"name": name, "source": PROMPTS[0], "target": PROMPTS[1].replace("{change}", name)} for name in CHANGES]
    return settings(images) | {"deltas": DELTAS, "attributes": changes}


def class_directions(generator: torch.Generator) -> dict[tuple[str, int], torch.Tensor]:
    """Per tree and level the directions `(K, D)` of the classes; those above the leaves are means of their leaves'."""
    unit = torch.nn.functional.normalize
    leaves = unit(torch.randn(LEVELS[0][2], WIDTH, generator=generator, dtype=torch.float64), dim=1)
    return {(tree, level): unit(torch.stack([leaves[k::size].mean(0) for k in range(size)]), dim=1)
            for tree, level, size in LEVELS}  # fmt: skip


def semantic_records(leaves: np.ndarray) -> list[list[SemanticRecord]]:
    """Per image, of which the leaf is given, its records; they have its number here as their index."""
    generator = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize
    directions = class_directions(generator)
    noise = torch.randn(len(leaves), WIDTH, generator=generator, dtype=torch.float64)
    named = directions[LEVELS[0][:2]][torch.from_numpy(leaves)]
    features = unit(named + noise * 0.7 / WIDTH**0.5, dim=1)
    found: list[list[SemanticRecord]] = [[] for _ in leaves]
    for change in CHANGES:
        toward = torch.randn(WIDTH, generator=generator, dtype=torch.float64) * 1.2 / WIDTH**0.5
        target = unit(named + toward, dim=1)
        for tree, level, size in LEVELS:
            scorer = AffineScorer.cosine(directions[tree, level])
            partition = semantic_partition(scorer, features, named, target)
            evidence = semantic_evidence(scorer, features, named, target, partition, deltas=DELTAS)
            for i, leaf in enumerate(leaves.tolist()):
                found[i].append(SemanticRecord.of_partition(
                    partition, i, label=leaf % size, index=i, tree=tree, level=level,
                    level_name=f"level {level}" if level else "class", scorer="cosine", attribute=change,
                    source_prompt=PROMPTS[0].format(f"class {leaf}"),
                    target_prompt=PROMPTS[1].format(f"class {leaf}", change=change), **evidence[i],
                ))  # fmt: skip
    return found


def lines(images: int) -> Iterator[bytes]:
    """Lines of rows that verify, image by image."""
    generator = np.random.default_rng(1)
    leaves = generator.integers(0, LEVELS[0][2], size=min(DISTINCT, images))
    counts = counts_of(images)
    selected = generator.binomial(N0 - 1, counts / N) + 1
    known = [[each.to_row() for each in records] for records in semantic_records(leaves)]
    for index in range(images):
        leaf = int(leaves[index % len(leaves)])
        predicted = leaf if generator.random() < 0.7 else int(generator.integers(0, LEVELS[0][2]))
        rows = [
            record(
                index, tree, level, leaf % size, predicted % size, int(counts[index, at]), int(selected[index, at])
            ).to_row()
            for at, (tree, level, size) in enumerate(LEVELS)
        ]
        for row in (*rows, *known[index % len(known)]):
            yield json.dumps(row | {"index": index}, ensure_ascii=False).encode() + b"\n"


def write_rows(folder: Path, images: int) -> None:
    """A folder as a finished run leaves it."""
    (folder / SETTINGS).write_text(json.dumps(noted(images)), encoding="utf-8")
    with (folder / ROWS).open("wb") as file:
        file.writelines(lines(images))


def make(folder: Path) -> None:
    """Makes the page of a folder as `certify.py report` does, with the packaged pictures."""
    import hrvlm
    from hrvlm.reports.folder_page import write_report
    from hrvlm.reports.html import AtHand
    from hrvlm.rows.uncollected import uncollected

    data = hrvlm.data.emoji("train")
    with uncollected():
        write_report(folder, at_hand=AtHand(lambda index: data[index % len(data)][0]))


def measured_apart(arguments: list[str]) -> dict[str, float]:
    """As `measured`, from a small process: the peak memory of a child is no less than that of who started it."""
    code = f"import sys, json; sys.path.insert(0, {str(Path(__file__).parent)!r}); import rows_at_scale; "
    code += f"print(json.dumps(rows_at_scale.measured({arguments!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def opened(page: Path) -> dict[str, float]:
    """Seconds until a browser has opened a page, the median of a few, and how many pictures it shows at first.

    Raises:
        RuntimeError: if there is no browser, or it does not tell.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise RuntimeError("expected chromium, found none: apt-get install chromium")
    text = re.sub(r"<meta http-equiv=.Content-Security-Policy.*?>", "", page.read_text(encoding="utf-8"))
    copy = page.with_name("opened.html")  # the page itself lets no foreign script run
    copy.write_text(text.replace("</body>", f"{OPENED}</body>"), encoding="utf-8")
    seconds, pictures = list[float](), 0
    for _ in range(TRIES):
        shown = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}",
             "--dump-dom", f"file://{copy}"],
            capture_output=True, text=True, timeout=300, check=True,
        ).stdout  # fmt: skip
        told = re.search(r"opened: ([\d.]+) ms, \d+ pixels, (\d+) pictures", shown)
        if told is None:
            raise RuntimeError("expected the browser to tell when it had opened the page, it did not")
        seconds.append(float(told[1]) / 1000)
        pictures = int(told[2])
    return {"seconds": round(statistics.median(seconds), 2), "pictures_at_first": pictures}


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder, options.images)
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import page_at_scale"
        made = measured_apart(of_command("report", folder))
        pictured = measured_apart([sys.executable, "-c", f"{code}; page_at_scale.make(page_at_scale.Path({name!r}))"])
        page = folder / REPORT
        result = {
            "images": options.images,
            "smoothing_rows": options.images * len(LEVELS),
            "semantic_rows": options.images * len(LEVELS) * len(CHANGES),
            "rows_megabytes": round((folder / ROWS).stat().st_size / 1e6),
            "made": made,
            "made_with_pictures": pictured,
            "page_megabytes": round(page.stat().st_size / 1e6, 1),
            "opened": opened(page),
            "machine": machine(),
        }
    print(json.dumps(result, indent=2))
    options.result.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

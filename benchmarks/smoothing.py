"""How fast smoothing is, and how few samples adaptive decisions take, on the packaged model.

    python benchmarks/smoothing.py [--parts throughput memory profile pace decisions] [--case "one core"] [--turns 5]

throughput: the smoothing loop (`certify_images`, the leaves' certificates), the encoder alone on noisy batches that lie
in memory, and a plain loop over images (`smoothing_loop.py`) take turns in one process; ratios are medians over the
turns. Each case is a process that may use so many cores: on one core the threads that make noise share it.
memory: peak of a process for few and for many samples. profile: see `profile_cost.py`. pace: time per decision, see
`smoothing_pace.py`. decisions: see `smoothing_decisions.py`; each image is on file as soon as it is done, and a later
run goes on from there.
Writes benchmarks/results/smoothing.json and .md, and quotes the table in docs/smoothing.md; parts not asked for stay.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import requote
import smoothing_decisions
import smoothing_pace
import smoothing_report
import smoothing_speed
from machines import machine

PARTS = ("throughput", "memory", "profile", "pace", "decisions")


def measure(parts: dict[str, Any], given: argparse.Namespace) -> None:
    """Measures what was asked for, into the parts."""
    if "throughput" in given.parts:
        for case in given.case:
            parts.setdefault("throughput", {})[case] = smoothing_speed.throughput(case, given.turns)
    if "memory" in given.parts:
        parts["memory"] = smoothing_speed.memory()
    if "profile" in given.parts:
        parts["profile"] = smoothing_speed.profile()
    if "pace" in given.parts:
        parts["pace"] = smoothing_pace.pace()
    if "decisions" in given.parts:
        if given.minutes > 0:
            smoothing_decisions.run(given.images, given.minutes)
        parts["decisions"] = smoothing_decisions.summary()


def main() -> None:
    """Measures, writes, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--case", nargs="+", choices=smoothing_speed.CASES, default=list(smoothing_speed.CASES))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--images", type=int, default=100, help="of the decisions; not divisible by 37")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which decisions stop; 0 to sum up alone")
    given = parser.parse_args()
    path = smoothing_report.RESULT
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"parts": {}}
    result["machine"] = machine()
    measure(result["parts"], given)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    smoothing_report.TABLE.write_text(smoothing_report.markdown(result), encoding="utf-8")
    requote.main()
    print(smoothing_report.TABLE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

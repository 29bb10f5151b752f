"""What benchmarks say of the machine that they ran on."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import open_clip
import torch


def machine() -> dict[str, Any]:
    """Processors, threads and versions; no names of hosts."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": f"{len(models)} x {models[0]}" if models else "unknown",
        "architecture": platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "cuda": torch.cuda.is_available(),
    }


def told(found: dict[str, Any]) -> str:
    """The same in a line of text."""
    return ", ".join(f"{key} {value}" for key, value in found.items())

"""What Lightning is entered without is there for whoever asks for it later; each test runs in a new Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hrvlm.cli.command_table import CERTIFY

ROOT = Path(__file__).parents[2]
MODULES = ["train", *(f"commands.{entry.module}" for entry in CERTIFY.values() if entry.model)]
ABSENT = ["torchattacks", "torchmetrics.functional", "matplotlib", "torch._dynamo.eval_frame", "sympy"]
ABSENT += ["scipy.stats", "scipy.optimize", "scipy.signal", "scipy.special", "sklearn"]
LIGHTER = "import sys\nimport hrvlm.cli.lighter_lightning as lighter\nlighter.lighten_lightning()\n"
WITHOUT = f"assert not [name for name in {ABSENT} if name in sys.modules]\n"


def check(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHTER + code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_libraries_of_models_bring_no_others() -> None:
    """What these would bring takes longer than they do; a metric is there when it is asked for, and plots itself."""
    check(
        "from importlib import import_module\n"
        "from types import ModuleType\n"
        "from hrvlm.cli.lighter_models import enter_open_clip\n"
        "enter_open_clip()\n"
        f"for name in {MODULES}:\n    import_module('hrvlm.cli.' + name)\n{WITHOUT}"
        "import torchmetrics\n"
        "from torchmetrics import Metric\n"
        "assert type(torchmetrics) is not ModuleType\n"
        "assert issubclass(torchmetrics.MeanMetric, Metric)\n"
        "assert type(torchmetrics) is ModuleType\n"
        "assert torchmetrics.Metric is Metric and 'torchmetrics.classification' in sys.modules\n"
        "assert not hasattr(torchmetrics, 'Nothing')\n"
        "metric = torchmetrics.MeanMetric()\n"
        "metric.update(1.0)\n"
        "figure, _ = metric.plot()\n"
        "import matplotlib.pyplot\n"
        "assert isinstance(figure, matplotlib.pyplot.Figure)"
    )


@pytest.mark.parametrize(
    "asked",
    [
        "from torchmetrics.wrappers import MetricTracker as found",
        "from torchmetrics import *\nfound = MetricTracker",
        "import torchmetrics\nassert 'MetricTracker' in dir(torchmetrics)\nfound = torchmetrics.MetricTracker",
        "from torchmetrics import Metric\nfrom torchmetrics.wrappers import MetricTracker as found",
        "from torchmetrics.metric import Metric\nfrom torchmetrics import MetricTracker as found\n"
        "assert issubclass(found.__mro__[-2], object) and Metric in sys.modules['torchmetrics'].MeanMetric.__mro__",
        "import torchmetrics.utilities.checks as checks\nfrom torchmetrics import MetricTracker as found\n"
        "assert checks.Metric is sys.modules['torchmetrics'].Metric",
        "lighter.PACKAGES['torchmetrics'].light['Metric'] = 'torchmetrics.elsewhere'\n"
        "from torchmetrics import MetricTracker as found",
    ],
    ids=["below", "all", "listed", "after", "metric first", "utilities first", "other version"],
)
def test_metrics_that_are_put_off_are_there_however_they_are_asked_for(asked: str) -> None:
    check(
        f"{asked}\nimport torchmetrics\nfrom torchmetrics import Metric, metric\n"
        "assert torchmetrics.MetricTracker is found and torchmetrics.metric.Metric is Metric"
    )


def test_optimizers_step_without_the_compiler_which_knows_afterwards_what_it_must_not_compile() -> None:
    check(
        "import torch\n"
        "from lightning.fabric.wrappers import OptimizedModule, _unwrap_compiled\n"
        "from lightning.pytorch.utilities.compile import to_uncompiled\n"
        "layer, seen = torch.nn.Linear(2, 2), []\n"
        "optimizer = torch.optim.AdamW(layer.parameters())\n"
        "layer(torch.ones(1, 2)).sum().backward()\n"
        "optimizer.step()\n"
        "optimizer.zero_grad()\n"
        "@torch._disable_dynamo\n"
        "def never(x):\n    seen.append(torch.compiler.is_compiling())\n    return x + 1\n"
        "assert never(torch.ones(1)) == 2 and not isinstance(layer, OptimizedModule)\n"
        f"{WITHOUT}"
        "made = torch.compile(layer, backend='eager')\n"
        "assert isinstance(made, OptimizedModule) and not isinstance(layer, OptimizedModule)\n"
        "assert _unwrap_compiled(made)[0] is layer\n"
        "assert torch._dynamo.OptimizedModule is type(made) and issubclass(type(made), OptimizedModule)\n"
        "assert issubclass(OptimizedModule, OptimizedModule) and not issubclass(torch.nn.Linear, OptimizedModule)\n"
        "twice = torch.compile(lambda x: never(x) * 2, backend='eager')\n"
        "assert twice(torch.ones(1)) == 4 and seen == [False, False]"
    )


@pytest.mark.parametrize(
    "asked",
    [
        "import torch._dynamo.config as config\nimport torch._dynamo\nassert torch._dynamo.config is config",
        "from torch._dynamo.eval_frame import OptimizedModule as found\nimport torch\n"
        "assert torch._dynamo.OptimizedModule is found",
        "import torch\ntorch._dynamo.reset()",
        "from torch._dynamo import OptimizedModule, disable\n"
        "@disable\ndef one(x):\n    return x\n"
        "assert one(3) == 3\nimport torch._dynamo.eval_frame\nassert one(4) == 4 and one.__name__ == 'one'",
        "import gc\nimport weakref\nfrom torch._dynamo import disable\n"
        "class Held:\n    pass\n"
        "def made(held):\n    return disable(fn=lambda: held)\n"
        "held = Held()\nseen = weakref.ref(held)\nassert made(held)() is held\ndel held\ngc.collect()\n"
        "assert seen() is None and not lighter._kept_out - {lighter._ends_graph}\n"
        "assert lighter.is_put_off('torch._dynamo')",
        "import torch\nlayer = torch.compiler.disable(torch.nn.Linear(2, 2))\n"
        "assert len([*layer.parameters()]) == 2\n"
        "@torch.compiler.disable\nclass Layer(torch.nn.Module):\n    pass\n"
        "assert isinstance(Layer(), Layer)",
        "import torch\nfrom torch._dynamo import graph_break\n"
        "def one(x):\n    y = x + 1\n    graph_break()\n    return y * 2\n"
        "graph_break(msg='here')\nassert one(torch.ones(1)) == 4 and lighter.is_put_off('torch._dynamo')\n"
        "from torch._dynamo.testing import CompileCounter\ncounter = CompileCounter()\n"
        "assert torch.compile(one, backend=counter)(torch.ones(1)) == 4 and counter.frame_count == 2",
        "from torch._dynamo import disable\n@disable(recursive=False)\ndef one(x):\n    return x\nassert one(3) == 3",
    ],
    ids=["settings", "below", "name", "disabled", "forgotten", "module", "broken", "decorator"],
)
def test_the_compiler_is_there_however_it_is_asked_for(asked: str) -> None:
    check(asked)

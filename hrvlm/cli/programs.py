"""`train.py` as a program: what can be answered at once does not wait for Lightning."""

from __future__ import annotations

import sys

from hrvlm.cli.first_line import tell_beginning
from hrvlm.cli.lighter_lightning import put_off_metrics
from hrvlm.cli.lighter_models import enter_open_clip
from hrvlm.cli.quick_answers import HELP, answer_at_once
from hrvlm.rows.uncollected import uncollected

COMMANDS = {
    "fit": "Trains, with everything that callbacks measure; --ckpt_path goes on where a run stopped.",
    "validate": "Measures a checkpoint as validation in training does.",
}
OVERVIEW = """\
usage: {program} [-h] [--version] {{fit,validate}} ...

Trains: LightningCLI over hrvlm's modules, data modules and callbacks.

commands:
{commands}

Options of a command: {program} fit --help; of a class: {program} fit --model.help RobustFineTuning

example:
  {program} fit --config quickstart --trainer.max_epochs 8
"""


def train(arguments: list[str] | None = None, program: str = "train.py") -> None:
    """Runs `train.py`, for example `fit --config quickstart`; without a command, `fit`.

    Args:
        arguments: Command line; `sys.argv` if None.
        program: What the program is called in help and errors.
    """
    words = sys.argv[1:] if arguments is None else arguments
    answer_at_once(words, program, "train")
    if not words or words[0] in HELP:
        listed = "\n".join(f"  {name:<10}{text}" for name, text in COMMANDS.items())
        print(OVERVIEW.format(program=program, commands=listed), end="")
        raise SystemExit(0 if words else 2)
    tell_beginning(f"{program} {words[0]}", "Lightning")
    put_off_metrics()
    with uncollected(kept=True):  # imports leave nothing behind
        enter_open_clip()
        from hrvlm.cli.train import main  # which answers above do not wait for

    main(arguments, program)

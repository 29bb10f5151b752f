"""`hrvlm init`: looks at pictures and writes a commented configuration that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.evaluation.beginning.texts import TEXTS
from hrvlm.reports.terminal import say
from hrvlm.whole_files import path_of


def _parser() -> ClearParser:
    parser = ClearParser()
    sources = "class folders, train and val folders of such, pictures without labels, tar shards, or a manifest"
    parser.add_argument("--data", type=str, required=True, help=f"pictures: {sources} (docs/data.md)")
    parser.add_argument("--task", choices=list(TEXTS), default="certify", help="what is to be done with them")
    parser.add_argument("--classes", type=str | None, help='"one, another", a file with one a line, or a tree')
    parser.add_argument("--model", type=str | None, help="checkpoint or start of training; ViT-B-32/openai if left out")
    parser.add_argument("--output", type=path_of, help="file to write; certify.yaml, train.yaml, … if left out")
    return parser


def _run(options: Any, given: Any) -> None:
    """Says what was found, and the command that comes next."""
    from hrvlm.evaluation.beginning.looking import look  # which a parser need not wait for
    from hrvlm.evaluation.beginning.writing import write_configuration

    task = options.task
    output = Path(f"{task.replace('-', '_')}.yaml") if options.output is None else Path(options.output)
    model = options.model or TEXTS[task].model
    found = look(options.data, options.classes)
    command = write_configuration(found, task, output, model)
    say(f"Found {found.words}. Wrote {output}; next:")
    say(command)


COMMAND = Command(_parser, _run)

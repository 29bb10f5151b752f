"""`certify.py`: certifies and attacks checkpoints, checks, audits, exports and reports rows, and plans sample sizes.

A command's module is imported when that command is asked for: those that need no model do not wait for its libraries.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from hrvlm.cli.errors import ClearParser, clear_errors

# Commands in the order of --help: module of `hrvlm.cli`, and its function that adds the parser or, of commands on a
# model and a split of data, its kind of settings.
COMMANDS = {
    "run": ("run", "Run"),
    "attack": ("attack", "Attack"),
    "push": ("push", "Push"),
    "answers": ("labelling", "add_parser"),
    "audit": ("auditing", "add_parser"),
    "verify": ("verify", "add_parser"),
    "report": ("results", "add_report_parser"),
    "export": ("results", "add_export_parser"),
    "plan": ("plan", "add_parser"),
    "rescore": ("rescore", "add_parser"),
}
SUBJECTS = {
    "run": "Certifies a model; run again, it goes on where it stopped.",
    "attack": "Attacks every level of a model; run again, it goes on where it stopped.",
    "push": "Pushes a model that answers in words towards a forbidden answer.",
}


def main(arguments: list[str] | None = None, program: str = "certify.py") -> None:
    """Runs a command, for example `run --checkpoint emoji --config configs/certify/emoji.yaml --output DIR`.

    Args:
        arguments: Command line; `sys.argv` if None.
        program: What the command is called in help and errors.
    """
    given_words = sys.argv[1:] if arguments is None else arguments
    with clear_errors(program):
        parser = _parser(given_words[0] if given_words else "", program)
        given = parser.parse_args(arguments)
        if not _without_model(given):
            _with_model(given, parser.instantiate_classes(given)[given.command])


def _parser(wanted: str, program: str = "certify.py") -> ClearParser:
    """All commands by name, and the options of the wanted one."""
    parser = ClearParser(prog=program, description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subcommands(dest="command")
    for name, (module, function) in COMMANDS.items():
        if name != wanted:
            commands.add_subcommand(name, ClearParser())
        elif name in SUBJECTS:
            from hrvlm.cli.evaluating import subject_parser

            kind = getattr(import_module(f"hrvlm.cli.{module}"), function)
            commands.add_subcommand(name, subject_parser(kind, SUBJECTS[name]))
        else:
            getattr(import_module(f"hrvlm.cli.{module}"), function)(commands)
    return parser


def _without_model(given: Any) -> bool:
    """Runs the command if it is one that needs no model; whether it was."""
    options = given[given.command]
    if given.command == "verify":
        from hrvlm.cli.verify import verify

        verify(Path(options.folder), options.expect)
    elif given.command == "plan":
        from hrvlm.cli.plan import plan

        plan(options)
    elif given.command == "report":
        from hrvlm.cli.results import report

        report(Path(options.folder), None if options.robustness is None else Path(options.robustness))
    elif given.command == "export":
        from hrvlm.cli.results import export

        export(Path(options.folder), options.to)
    else:
        return False
    return True


def _with_model(given: Any, chosen: Any) -> None:
    """Runs a command on a model, or on a folder with the configuration of one."""
    output = Path(chosen.output)
    if given.command == "attack":
        from hrvlm.cli.attack import Attack, attack

        attack(chosen.checkpoint, Attack(**_fields(Attack, chosen)), output, _notes(given.attack))
    elif given.command == "push":
        from hrvlm.cli.push import Push, push

        push(chosen.checkpoint, Push(**_fields(Push, chosen)), output)
    elif given.command == "answers":
        from hrvlm.cli.labelling import Answers, draw_answers

        draw_answers(chosen.checkpoint, Answers(**_fields(Answers, chosen)), output)
    elif given.command == "audit":
        from hrvlm.cli.auditing import Audit, audit

        audit(Path(chosen.folder), Audit(**_fields(Audit, chosen)), output)
    elif given.command == "rescore":
        from hrvlm.cli.rescore import Rescore, rescore

        settings, notes = Rescore(**_fields(Rescore, chosen)), _notes(given.rescore)
        rescore(Path(chosen.features), chosen.checkpoint, settings, output, notes)
    else:
        from hrvlm.cli.run import Run, run

        run(chosen.checkpoint, Run(**_fields(Run, chosen)), output, _notes(given.run))


def _fields(kind: type[Any], chosen: Any) -> dict[str, Any]:
    return {name: getattr(chosen, name) for name in kind.__dataclass_fields__}


def _notes(given: Any) -> dict[str, Any]:
    """What a report needs to find pictures and class names again."""
    chosen = {name: given[name] for name in ("checkpoint", "trees", "num_levels")}
    data = {name: given.data[name] for name in ("class_path", "init_args") if name in given.data}
    found: dict[str, Any] = json.loads(json.dumps(_plain(chosen | {"data": data}), default=str))
    return {f"given_{name}": value for name, value in found.items()}


def _plain(value: Any) -> Any:
    """Namespaces as mappings."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return {name: _plain(part) for name, part in value.items()} if isinstance(value, dict) else value


if __name__ == "__main__":
    main()

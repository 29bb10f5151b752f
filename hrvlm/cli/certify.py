"""`certify.py`: certifies and attacks checkpoints, checks, audits, exports and reports rows, and plans sample sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hrvlm.certificates import verify_rows
from hrvlm.certificates.parts import part_files, unchecked_rows
from hrvlm.cli.attack import Attack, attack
from hrvlm.cli.auditing import Audit, audit
from hrvlm.cli.auditing import add_parser as add_audit
from hrvlm.cli.errors import ClearParser, clear_errors
from hrvlm.cli.evaluating import ROWS_OF, subject_parser
from hrvlm.cli.labelling import Answers, draw_answers
from hrvlm.cli.labelling import add_parser as add_answers
from hrvlm.cli.plan import add_parser as add_plan
from hrvlm.cli.plan import plan
from hrvlm.cli.push import Push, push
from hrvlm.cli.rescore import Rescore, rescore
from hrvlm.cli.rescore import add_parser as add_rescore
from hrvlm.cli.results import add_parsers as add_results
from hrvlm.cli.results import export, report
from hrvlm.cli.run import Run, run

ROWS = ROWS_OF["run"]


def main(arguments: list[str] | None = None) -> None:
    """Runs a command, for example `run --checkpoint emoji --config configs/certify/emoji.yaml --output DIR`.

    Args:
        arguments: Command line; `sys.argv` if None.
    """
    parser = _parser()
    with clear_errors("certify.py"):
        given = parser.parse_args(arguments)
        if _without_model(given):
            return
        chosen = parser.instantiate_classes(given)[given.command]
        output = Path(chosen.output)
        if given.command == "attack":
            attack(chosen.checkpoint, Attack(**_fields(Attack, chosen)), output, _notes(given.attack))
        elif given.command == "push":
            push(chosen.checkpoint, Push(**_fields(Push, chosen)), output)
        elif given.command == "answers":
            draw_answers(chosen.checkpoint, Answers(**_fields(Answers, chosen)), output)
        elif given.command == "audit":
            audit(Path(chosen.folder), Audit(**_fields(Audit, chosen)), output)
        elif given.command == "rescore":
            settings, notes = Rescore(**_fields(Rescore, chosen)), _notes(given.rescore)
            rescore(Path(chosen.features), chosen.checkpoint, settings, output, notes)
        else:
            run(chosen.checkpoint, Run(**_fields(Run, chosen)), output, _notes(given.run))


def _without_model(given: Any) -> bool:
    """Runs the command if it is one that needs no model; whether it was."""
    options = given[given.command]
    if given.command == "verify":
        verify(Path(options.folder))
    elif given.command == "plan":
        plan(options)
    elif given.command == "report":
        report(Path(options.folder), None if options.robustness is None else Path(options.robustness))
    elif given.command == "export":
        export(Path(options.folder), options.to)
    else:
        return False
    return True


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


def _parser() -> ClearParser:
    parser = ClearParser(prog="certify.py", description=__doc__)
    commands = parser.add_subcommands(dest="command")
    runner = subject_parser(Run, "Certifies a model; run again, it goes on where it stopped.")
    commands.add_subcommand("run", runner)
    attacker = subject_parser(Attack, "Attacks every level of a model; run again, it goes on where it stopped.")
    commands.add_subcommand("attack", attacker)
    pusher = subject_parser(Push, "Pushes a model that answers in words towards a forbidden answer.")
    commands.add_subcommand("push", pusher)
    add_answers(commands)
    add_audit(commands)
    verifier = ClearParser(description="Derives every certificate anew from its row, without the model.")
    verifier.add_argument("folder", type=str, help=f"folder that holds {ROWS}")
    commands.add_subcommand("verify", verifier)
    add_results(commands)
    add_plan(commands)
    add_rescore(commands)
    return parser


def verify(folder: Path) -> None:
    """Derives every certificate anew and reports rows that claim something else.

    Raises:
        SystemExit: With code 1 if a row does not hold.
    """
    path = folder / ROWS
    if not part_files(path):
        raise ValueError(f"expected the rows of a run at {path}, found none; make them with certify.py run")
    rows = unchecked_rows(path)
    problems = verify_rows(rows)
    for problem in problems:
        print(f"{problem.key}: {problem.message}")
    print(f"{len(rows)} certificates, {len(problems)} that do not hold")
    if problems:
        raise SystemExit(1)

"""`hrvlm completion`: what a shell needs to complete commands and options, made from the kept help texts."""

from __future__ import annotations

import sys

from hrvlm.cli.command_table import CERTIFY, HRVLM
from hrvlm.cli.programs import COMMANDS
from hrvlm.cli.quick_answers import HELP, kept_texts, options_of

SHELLS = ("bash", "zsh", "fish")
_BASH = """\
# eval "$(hrvlm completion bash)"
_hrvlm() {{
  local here="${{COMP_WORDS[COMP_CWORD]}}" path="" word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$word" in -*) break ;; *) path="${{path:+$path }}$word" ;; esac
    [ "$(_hrvlm_words "$path")" ] || {{ path="${{path% *}}"; break; }}
  done
  COMPREPLY=($(compgen -W "$(_hrvlm_words "$path")" -- "$here"))
}}
_hrvlm_words() {{
  case "$1" in
{cases}
  esac
}}
complete -o default -o bashdefault -F _hrvlm hrvlm
"""


def words_after() -> dict[str, list[str]]:
    """What may come after the words of a command line that begins with `hrvlm`."""
    found = {"": ["train", "certify", "completion", *HRVLM], "completion": list(SHELLS)}
    found |= {"train": list(COMMANDS), "certify": list(CERTIFY)}
    for (family, *command), text in kept_texts().items():
        starts = [] if family == "hrvlm" else [family]
        found.setdefault(" ".join([*starts, *command]), []).extend(options_of(text))
        if family == "certify" and HRVLM.get(command[0]) is CERTIFY[command[0]]:
            found.setdefault(" ".join(command), []).extend(options_of(text))
        if len(command) > 1:
            found.setdefault(" ".join([*starts, *command[:-1]]), []).append(command[-1])
    return found


def script(shell: str) -> str:
    """What the shell is to read.

    Raises:
        ValueError: For another shell.
    """
    if shell not in SHELLS:
        raise ValueError(f"expected a shell of {', '.join(SHELLS)}, got {shell!r}")
    if shell == "fish":
        return _fish()
    cases = "\n".join(f'    "{path}") echo "{" ".join(words)}" ;;' for path, words in words_after().items())
    text = _BASH.format(cases=cases)
    return text if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{text}"


def _fish() -> str:
    lines = ["# hrvlm completion fish | source", "complete -c hrvlm -f"]
    for path, words in words_after().items():
        seen = f"string match -q 'hrvlm {path}*' -- (string join ' ' (commandline -opc))".replace(" *'", "'")
        lines.append(f'complete -c hrvlm -n "{seen}" -a "{" ".join(words)}"')
    return "\n".join(lines) + "\n"


def main(arguments: list[str], program: str) -> None:
    """Prints the script for a shell.

    Args:
        arguments: Name of the shell.
        program: What the command is called in errors.
    """
    if arguments in ([word] for word in HELP):
        print(f'usage: {program} {{{",".join(SHELLS)}}}\n\nexample:\n  eval "$({program} bash)"')
        return
    try:
        print(script(" ".join(arguments)), end="")
    except ValueError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None

"""`certify.py`: certifies and attacks checkpoints, checks, audits, exports and reports rows, and plans sample sizes."""

from __future__ import annotations

import sys

from hrvlm.cli.command import CERTIFY, run_command


def main(arguments: list[str] | None = None, program: str = "certify.py") -> None:
    """Runs a command, for example `run --checkpoint emoji --config configs/certify/emoji.yaml --output DIR`.

    Args:
        arguments: Command line; `sys.argv` if None.
        program: What the command is called in help and errors.
    """
    run_command(sys.argv[1:] if arguments is None else arguments, CERTIFY, program, __doc__ or "")


if __name__ == "__main__":
    main()

"""`hrvlm export`: writes a checkpoint as a folder that plain open_clip or transformers loads."""

from __future__ import annotations

from typing import Any, Literal

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.settings_parser import add_checkpoint, checkpoint_of
from hrvlm.reports.terminal import say
from hrvlm.whole_files import path_of

LOADED_BY = {
    "open_clip": 'open_clip.create_model_and_transforms("local-dir:{}")',
    "transformers": 'transformers.AutoModel.from_pretrained("{}"); a head trained beside it is not part of it',
    "tower": 'transformers.AutoModel.from_pretrained("{}"); it is the image tower alone, before its projection',
}


def _parser() -> ClearParser:
    parser = ClearParser(description=__doc__)
    add_checkpoint(parser)
    parser.add_argument("--output", type=path_of, required=True, help="folder to write; local-dir:FOLDER for open_clip")
    parser.add_argument(
        "--to",
        type=Literal["open_clip", "transformers", "tower"],
        default="open_clip",
        help="what loads the folder: open_clip, transformers, or transformers the image tower alone",
    )
    parser.add_argument("--half", action="store_true", help="store matrices and convolutions in 16 bits")
    parser.add_argument(
        "--run-config",
        type=str | None,
        help="the run's config.yaml, for the model card; looked for beside the checkpoint and above if not given",
    )
    return parser


def _run(options: Any, given: Any) -> None:
    """Says what was written and how to load it."""
    from hrvlm.models.checkpoint_export import export_checkpoint  # which a parser need not wait for
    from hrvlm.models.model_card import CARD_FILE, NEW_CARD_FILE

    settings = {"half": options.half, "config": options.run_config, "to": options.to}
    folder = export_checkpoint(checkpoint_of(options), options.output, **settings)
    say(f"{folder}: load it with {LOADED_BY[options.to].format(folder)}")
    if (folder / NEW_CARD_FILE).is_file():
        say(f"{folder / CARD_FILE} was there and is kept; the card of this export is {NEW_CARD_FILE}")


COMMAND = Command(_parser, _run)

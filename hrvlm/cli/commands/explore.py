"""`hrvlm explore`: a page of this machine, on which one picture after the other is certified and attacked."""

from __future__ import annotations

from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.settings_parser import add_checkpoint, checkpoint_of
from hrvlm.reports.terminal import say


def _parser() -> ClearParser:
    parser = ClearParser()
    add_checkpoint(parser)
    parser.add_argument("--port", type=int, default=0, help="where the page is served, on 127.0.0.1; 0: a free one")
    parser.add_argument(
        "--trees", type=str, nargs="+", help="trees over the same classes to begin with, by file or name"
    )
    parser.add_argument("--classes", type=str | None, help='"one, another": class names to begin with, without trees')
    parser.add_argument("--sigma", type=float, default=0.1, help="noise to begin with, in pixel units")
    parser.add_argument("--device", type=str, default="cpu", help="for example cuda")
    return parser


def _run(options: Any, given: Any) -> None:
    """Serves the page until it is interrupted."""
    from hrvlm.explorer.serving import check_installed, free_port  # which a parser need not wait for

    check_installed()
    checkpoint, port = checkpoint_of(options), free_port(options.port)
    from hrvlm.explorer.interface import page_of
    from hrvlm.explorer.preparing import prepared
    from hrvlm.explorer.serving import make_server

    say("Preparing the explorer: the model is loaded, and everything is computed once …")
    shared, start = prepared(
        checkpoint, trees=options.trees, classes=options.classes, sigma=options.sigma, device=options.device
    )
    server = make_server(page_of(shared, start), port)
    server.start()
    say(f"Explorer of {shared.name}: http://127.0.0.1:{port} (this machine alone; Ctrl-C ends it)")
    try:
        server.io_loop.start()
    finally:
        server.stop()


COMMAND = Command(_parser, _run, waits=True)

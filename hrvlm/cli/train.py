"""`train.py`: LightningCLI over hrvlm's modules, data modules and callbacks."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, ClassVar, cast

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import SIGTERMException

import hrvlm.callbacks
import hrvlm.data.emoji_pack.datamodule
import hrvlm.data.folder
import hrvlm.training.fine_tuning
import hrvlm.training.pretraining  # noqa: F401  (imported so that configs can name their classes)
from hrvlm.callbacks.folders import check_results
from hrvlm.callbacks.run_progress import in_place_of_lightnings
from hrvlm.cli.errors import ClearParser, clear_errors
from hrvlm.cli.first_line import at_work, say_once
from hrvlm.cli.trainer_lists import lost_of, move_loggers
from hrvlm.training.checkpoint_io import check_asked, secure
from hrvlm.training.stopping import SIGNALS
from hrvlm.training.trainer_settings import check_trainer

# Lightning warns of frozen batch norms (meant so), of code of its own, and in a resumed run of its new version folder.
EXPECTED_WARNINGS = (
    r"Found \d+ module\(s\) in eval mode",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"The dirpath has changed from",
    r"Checkpoint directory .* exists and is not empty",
    r"It is recommended to use `self\.log",
    r"LightningCLI's args parameter is intended to run from within Python",  # `hrvlm train` hands its arguments on
)
# Of Lightning's hints, those that advertise, tell of hardware that is not there, or announce what takes no time.
IDLE_HINTS = ("💡 Tip", "TPU available: False", "HPU available: False", "Loading `train_dataloader` to estimate")


class TrainParser(ClearParser, LightningArgumentParser):
    """Lightning's parser, with errors that are the message alone."""

    for_certify = False
    root_of_files: str | None = None
    """The `default_root_dir` that configurations name, before the command line changes it."""

    def has_read(self, path: str, before: Any, after: Any) -> None:
        """Says which callbacks a configuration takes away, and notes where the files want results."""
        self.root_of_files = after.get("trainer.default_root_dir")
        if lost := lost_of(before.get("trainer.callbacks"), after.get("trainer.callbacks")):
            say_once(
                f"{self.prog.split()[0]}: callbacks: of {path} replaces the list before it, without "
                f"{', '.join(lost)}; callbacks+: would add to it"
            )

    def dump(self, *args: Any, **kwargs: Any) -> str:
        """Settings as text; they have been checked where they were parsed."""
        return super().dump(*args, **{"skip_validation": True} | kwargs)

    def instantiate(self, *args: Any, **kwargs: Any) -> Any:
        """Makes the objects of a configuration; a parser outlives its run, which these instantiators hold."""
        try:
            return super().instantiate(*args, **kwargs)
        finally:
            self._instantiators = None


class HrvlmCLI(LightningCLI):
    """LightningCLI that refuses settings under which attacks during training could not work."""

    _made: ClassVar[dict[str, dict[str, Any]]] = {}  # what Lightning keeps of its parsers, by the program's name

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """Makes the parsers; once in a process, for it takes long."""
        program = main_kwargs["prog"]
        if program not in self._made:
            super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
            kept = ("parser", "_subcommand_parsers", "_subcommand_method_arguments")
            self._made[program] = {name: getattr(self, name) for name in kept}
        vars(self).update(self._made[program])

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Checks the checkpoint's file before Lightning opens it.

        Raises:
            ValueError: If it is no whole checkpoint on this machine.
        """
        for each in self._subcommand_parsers.values():
            each.root_of_files = None  # type: ignore[attr-defined]  # a `TrainParser`, which outlives its run
        super().parse_arguments(parser, args)
        given = self.config[self.config["subcommand"]]
        check_asked(given.get("ckpt_path"), given.get("weights_only"))
        given["weights_only"] = True

    def before_instantiate_classes(self) -> None:
        """Checks the trainer's settings, as soon as they are known.

        Raises:
            ValueError: If training could not do what they say.
        """
        settings = self.config[self.subcommand]
        check_trainer(settings.trainer)
        parser = cast("TrainParser", self._subcommand_parsers[str(self.subcommand)])
        move_loggers(settings.trainer, parser.root_of_files)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """What the trainer can do here; `certify.py` tests and predicts."""
        return {name: skipped for name, skipped in LightningCLI.subcommands().items() if name in ("fit", "validate")}

    def _parse_ckpt_path(self) -> None:
        """Leaves the configuration as it was given, where Lightning puts settings of the checkpoint in its place."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer, which opens no checkpoint that could run code, and shows progress wherever it runs."""
        trainer = super().instantiate_trainer(**kwargs)
        secure(trainer)
        in_place_of_lightnings(trainer)
        return trainer

    def before_fit(self) -> None:
        """Checks that results can be written.

        Raises:
            ValueError: If they cannot.
        """
        check_results(self.trainer, self.model)


def parsers(program: str) -> dict[str, TrainParser]:
    """The parsers of the commands, by name, without running one."""
    with suppress(SystemExit), redirect_stdout(io.StringIO()):
        main(["--help"], program)
    found: dict[str, TrainParser] = HrvlmCLI._made[program]["_subcommand_parsers"]
    return found


def main(arguments: list[str] | None = None, program: str = "train.py") -> None:
    """Runs a LightningCLI command, for example `fit --config configs/emoji/quickstart.yaml`.

    Args:
        arguments: Command line; `sys.argv` if None.
        program: What the command is called in help and errors.
    """
    with clear_errors(program, _ending_signals()), warnings.catch_warnings():
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        with _without_idle_hints(), _terminated(program), at_work(program):
            HrvlmCLI(
                LightningModule,
                LightningDataModule,
                parser_class=TrainParser,
                parser_kwargs={"prog": program},
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_kwargs={"overwrite": True},
                trainer_defaults={"inference_mode": False, "use_distributed_sampler": False},
                args=arguments,
            )


@contextmanager
def _without_idle_hints() -> Iterator[None]:
    """Keeps hints that nobody can do anything about from the output."""
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    logger.addFilter(_says_something)
    try:
        yield
    finally:
        logger.removeFilter(_says_something)


def _says_something(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(IDLE_HINTS)


@contextmanager
def _terminated(program: str) -> Iterator[None]:
    """Gives Lightning's exit after SIGTERM, which it handles itself under SLURM, the code of that signal."""
    try:
        yield
    except SIGTERMException:
        message = "stopped by SIGTERM; give the last checkpoint as --ckpt_path to go on"
        print(f"{program}: error: {message}", file=sys.stderr)
        raise SystemExit(128 + signal.SIGTERM) from None


def _ending_signals() -> tuple[int, ...]:
    """All but SIGTERM under SLURM, where Lightning stores a checkpoint at another signal and queues the job again."""
    return tuple(number for number in SIGNALS if number != signal.SIGTERM or "SLURM_JOB_ID" not in os.environ)


if __name__ == "__main__":
    main()

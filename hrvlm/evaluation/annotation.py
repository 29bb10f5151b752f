"""Answers of noisy copies, to be labelled by people or by a far better judge."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
import numpy as np

from hrvlm.certificates.kinds.oracle.annotation import noisy_answers
from hrvlm.certificates.noise.gaussian import SCHEME
from hrvlm.certificates.sampling.plan import SmoothingPlan
from hrvlm.data.reading_ahead import ReadAhead
from hrvlm.evaluation.answer_options import AnswerOptions
from hrvlm.evaluation.progress import following
from hrvlm.evaluation.questions import answering_about, asked_of, described_generator
from hrvlm.evaluation.settings import CertificationSettings
from hrvlm.evaluation.subject import answered_pictures, data_identity
from hrvlm.generative import Generator
from hrvlm.generative.questioned import Questioned
from hrvlm.models import Checkpoint
from hrvlm.rows.fields import INDEX
from hrvlm.rows.jsonl import read_rows
from hrvlm.rows.shards import ShardWriter, shard_path
from hrvlm.whole_files import check_place, write_whole

PER_IMAGE = 100


@dataclass(frozen=True, kw_only=True)
class AnnotationSettings(CertificationSettings):
    """What is drawn: the configuration of a run, and which answers.

    Attributes:
        scope: "population": one answer of each image; "image": several of each image of the plan, for an audit.
        samples_per_image: Answers of each image; 1 of a population, 100 for an audit if null.
        images: So many images, drawn at random without repetition; all if null.
        index_range: Only images from the first of these two indices to before the second.
        uncertified: Leaves out the images of the plan.
    """

    scope: Literal["population", "image"] = "population"
    samples_per_image: int | None = None
    images: int | None = None
    index_range: list[int] | None = None
    uncertified: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.answers is None:
            raise ValueError("expected answers (prompt, decoding, oracles) in the configuration, got none")
        if self.samples < 1 or (self.scope == "population" and self.samples != 1):
            raise ValueError(
                f"expected 1 answer per image for a population and at least 1 for an image, got {self.samples}: "
                "answers of one image are not independent draws from a population"
            )
        if self.scope == "image" and self.uncertified:
            raise ValueError("expected uncertified with the scope 'population': an audit is of images of the plan")

    @property
    def samples(self) -> int:
        """Answers of each image."""
        if self.samples_per_image is None:
            return 1 if self.scope == "population" else PER_IMAGE
        return self.samples_per_image

    def indices(self, size: int) -> list[int]:
        """The images, of a data set of so many, in order.

        Raises:
            ValueError: If there are no such images, or too few.
        """
        first, stop = (0, size) if self.index_range is None else _pair(self.index_range)
        if not 0 <= first < stop <= size:
            raise ValueError(f"expected index_range within [0, {size}], first below second, got {self.index_range}")
        planned = self.plan.indices(size)
        allowed = range(size) if self.scope == "population" else planned
        chosen = [index for index in allowed if first <= index < stop]
        if self.uncertified:
            chosen = sorted(set(chosen) - set(planned))
        count = len(chosen) if self.images is None else self.images
        if not 1 <= count <= len(chosen):
            raise ValueError(f"expected from 1 to the {len(chosen)} images that there are to draw from, got {count}")
        drawn = np.random.default_rng(self.plan.seed).choice(len(chosen), size=count, replace=False)
        return [chosen[position] for position in sorted(drawn)]


def _pair(values: list[int]) -> tuple[int, int]:
    if len(values) != 2:
        raise ValueError(f"expected index_range of two indices, for example [0, 300], got {values}")
    return values[0], values[1]


class _Drawn(msgspec.Struct, forbid_unknown_fields=True):
    """The line of an image whose answers have been drawn."""

    index: INDEX
    answers: list[str]


@dataclass(frozen=True)
class Line:
    """A line of the part that answers are kept in while they are drawn: what they depend on, or those of an image."""

    row: dict[str, Any]

    def to_row(self) -> dict[str, Any]:
        """The line as JSON values."""
        return self.row


def draw_answers(checkpoint: Checkpoint | str, settings: AnnotationSettings, output: Path) -> int:
    """Writes answers without labels as JSON lines; run again after a kill, it goes on where it stopped.

    Args:
        checkpoint: See `hrvlm.generative.load_generator`.
        settings: Data, prompt, decoding and noise, and which answers.
        output: A new file. Until it is complete, `NAME.parts` beside it holds the answers of finished images.

    Returns:
        Number of images.

    Raises:
        ValueError: If parts do not fit each other, the file exists (it may hold labels), or answers of other settings
            were begun for it.
    """
    if output.exists() and not shard_path(output, 0).exists():
        raise _not_new(output)
    check_place(output.parent)
    options = cast(AnswerOptions, settings.answers)
    generator = options.load(checkpoint, settings.device)
    data = answered_pictures(settings)
    asked = asked_of(data, options)
    answering = answering_about(generator, asked)
    indices = settings.indices(len(data))
    with ShardWriter(output, 0) as writer:
        described = described_generator(generator, asked)
        drawn = begun(writer, depends_on(described, data, settings.plan.smoothing_plan(), settings))
        left = [index for index in indices if index not in drawn]
        if not output.exists():
            drawn |= _draw(writer, answering, data, left, settings)
            write_whole(output, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in _lines(indices, drawn)))
        elif left or _written(output) != [(index, answer) for index in indices for answer in drawn[index]]:
            if not drawn:  # another process has written the file since this one started
                _forget(output)
            raise _not_new(output)
        _forget(output)  # while it is held; also what a kill left after the file was written
    return len(indices)


def _draw(
    writer: ShardWriter,
    generator: Generator | Questioned,
    data: Any,
    indices: list[int],
    settings: AnnotationSettings,
) -> dict[int, list[str]]:
    """Answers of some images, each kept in the part as soon as it has them all."""
    plan, found = settings.plan, {}
    given: dict[str, Any] = {"batch_size": plan.fixed_batch_size, "device": settings.device}
    ahead = ReadAhead(data, indices, settings.num_workers)
    images = noisy_answers(generator, ahead, indices, plan.smoothing_plan(), samples=settings.samples, **given)
    with following("answering", len(indices)) as bar:
        for index, answers in images:
            writer.write([Line({"index": index, "answers": answers})])
            found[index] = answers
            bar.advance()
    return found


def _lines(indices: list[int], drawn: dict[int, list[str]]) -> list[dict[str, Any]]:
    """The lines of the file, whose labels are still to be written."""
    return [{"answer": answer, "label": "", "index": index} for index in indices for answer in drawn[index]]


def _not_new(output: Path) -> ValueError:
    return ValueError(f"expected a new file for answers, got {output}, which may hold labels; choose another output")


def _written(output: Path) -> list[tuple[Any, Any]]:
    """Image and answer of each line of a file of answers, whatever its labels are."""
    return [(row.get("index"), row.get("answer")) for row in read_rows(output)]


def _forget(output: Path) -> None:
    """Removes what was kept for a file of answers that is complete."""
    shard_path(output, 0).unlink()  # its folder goes with the writer


def depends_on(
    generator: dict[str, Any], data: Any, plan: SmoothingPlan, settings: AnnotationSettings
) -> dict[str, Any]:
    """What answers depend on, as JSON values."""
    drawn = {"sigma": plan.sigma, "seed": plan.seed, "noise": plan.noise, "precision": plan.precision}
    chosen = {"split": settings.split, "samples": settings.samples, "indices": settings.indices(len(data))}
    found: dict[str, Any] = {"generator": generator, **data_identity(data), **drawn, **chosen}
    found["random_numbers"] = SCHEME
    return cast(dict[str, Any], json.loads(json.dumps(found)))


def begun(writer: ShardWriter, depends: dict[str, Any]) -> dict[int, list[str]]:
    """Answers by image that an earlier process has drawn; notes in a new part what they depend on.

    Raises:
        ValueError: If they depend on something else.
    """
    rows = read_rows(writer.path)
    if not rows:
        writer.write([Line(depends)])
    changed = [name for name, value in depends.items() if rows and rows[0].get(name) != value]
    if changed:
        raise ValueError(
            f"expected the {', '.join(changed)} that the answers in {writer.path.parent} were begun with; "
            "choose another output, or remove that folder"
        )
    try:
        return {found.index: found.answers for found in msgspec.convert(rows[1:], list[_Drawn])}
    except msgspec.ValidationError as error:
        raise ValueError(
            f"expected answers by image in {writer.path}, got another line ({error}); remove that folder to begin anew"
        ) from error

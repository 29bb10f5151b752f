"""Sampling the statements of images from one noise pass.

A statement is a level of a class tree; every noisy copy of an image is classified once and counted for all of them.
Selection and estimation use disjoint draws: 0 to n0 - 1, and from n0 on. `SmoothingPlan` says which procedure draws the
samples, `procedures` how; what follows from the counts is for the kinds of certificate to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import torch

from hrvlm.certificates.sampling.batch_size import automatic_batch_size
from hrvlm.certificates.sampling.batches import Sample
from hrvlm.certificates.sampling.counts import Procedure
from hrvlm.certificates.sampling.plan import SmoothingPlan, Statement, check_statements
from hrvlm.certificates.sampling.procedures import NUM_GROUPS, Sampled, StatementProcedure
from hrvlm.certificates.sampling.stream import Classify, Execution, Observe, sample_adaptively


def sample_statements(
    classify: Classify,
    samples: Iterable[Sample],
    statements: Sequence[Statement],
    plan: SmoothingPlan,
    *,
    batch_size: int | None = 256,
    device: torch.device | str = "cpu",
    threads: int = 1,
    observe: Observe | None = None,
    with_draws: bool = False,
    workers: int = 1,
) -> Iterator[Sampled]:
    """Sample every statement about every image.

    Args:
        classify: base classifier: images `(B, C, H, W)` on `device` to labels `(B,)` per statement key, -1 where a
            sample has no valid label (it then counts against every class). Called without gradients, as it is: putting
            a module into evaluation mode, and back, is the caller's part.
        samples: images with dataset indices and true labels.
        statements: what to count; alpha is split equally over them.
        plan: noise, sample sizes, confidence and procedure.
        batch_size: noisy copies per call; batches mix images. None finds a fast one on the first sample.
        device: where `classify` wants its images.
        threads: threads that prepare noise ahead; 0 for none.
        observe: shown everything that `classify` returns, see `stream.Observe`.
        with_draws: whether `classify` is given the draws of its images as well, see `stream.Parts`; needs a
            `batch_size`.
        workers: threads that classify side by side, see `stream.sample_adaptively`.

    Returns:
        An iterator over the images; in the order of the samples, except where a procedure needs different numbers of
        draws: then as they are finished.

    Raises:
        ValueError: at once, if n can certify nothing at this alpha, or keys repeat; on the way, if an image lies
            outside [0, 1] or the classifier returns other labels than promised.
    """
    num_classes = check_statements(statements, batch_size)
    plan.check(len(statements))
    drawing = plan.drawing

    def run() -> Iterator[Sampled]:
        source, size = iter(samples), batch_size
        if size is None:
            first = next(source, None)
            if first is None:
                return
            size = automatic_batch_size(
                classify, first.image.shape, drawing=drawing, device=device, threads=threads, precision=plan.precision
            )
            source = chain([first], source)
        yield from sample_adaptively(
            classify,
            source,
            num_classes,
            procedure_of(statements, plan),
            num_groups=NUM_GROUPS,
            drawing=drawing,
            batch_size=size,
            execution=Execution(device=device, threads=threads, precision=plan.precision, workers=workers),
            observe=observe,
            with_draws=with_draws,
        )

    return run()


def procedure_of(statements: Sequence[Statement], plan: SmoothingPlan) -> Callable[[Sample], Procedure[Sampled]]:
    """What is drawn of each sample, and found in its counts."""
    return StatementProcedure(statements, plan)

"""Randomized smoothing of several statements from one noise pass.

A statement is a level of a class tree; every noisy copy of an image is classified once and counted for all of them.
Selection and estimation use disjoint draws: 0 to n0 - 1, and from n0 on.

What is claimed, per image: with probability at least 1 - alpha over the noise, for every statement that does not
abstain, the SMOOTHED classifier has the stated class at every point closer than the stated L2 radius. Each of the K
statements of an image spends alpha / K, so the claim holds for all of them together (union bound). `SmoothingPlan` says
which procedure draws the samples, `procedures` how, `claims` what follows from the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import torch

from hrvlm.certificates.kinds.profile.certify import Profiler
from hrvlm.certificates.sampling.batch_size import automatic_batch_size
from hrvlm.certificates.sampling.batches import Drawing, Sample
from hrvlm.certificates.sampling.counts import Procedure
from hrvlm.certificates.sampling.plan import PREDICT_DRAWS, SmoothingPlan, Statement, check_statements
from hrvlm.certificates.sampling.procedures import NO_LABEL, NOT_MAJORITY, NUM_GROUPS, Certifier
from hrvlm.certificates.sampling.stream import Classify, Observe, explore

__all__ = [
    "NOT_MAJORITY",
    "NO_LABEL",
    "PREDICT_DRAWS",
    "SmoothingPlan",
    "Statement",
    "certify",
    "check_statements",
]


def certify(
    classify: Classify,
    samples: Iterable[Sample],
    statements: Sequence[Statement],
    plan: SmoothingPlan,
    *,
    batch_size: int | None = 256,
    device: torch.device | str = "cpu",
    threads: int = 1,
    profiler: Profiler | None = None,
    observe: Observe | None = None,
    with_draws: bool = False,
    workers: int = 1,
) -> Iterator[list[Any]]:
    """Certify every statement about every sample.

    Args:
        classify: base classifier: images `(B, C, H, W)` on `device` to labels `(B,)` per statement key, -1 where a
            sample has no valid label (it then counts against every class). Called without gradients, as it is: putting
            a module into evaluation mode, and back, is the caller's part.
        samples: images with dataset indices and true labels.
        statements: what to certify; alpha is split equally over them.
        plan: noise, sample sizes, confidence and procedure.
        batch_size: noisy copies per call; batches mix images. None finds a fast one on the first sample.
        device: where `classify` wants its images.
        threads: threads that prepare noise ahead; 0 for none.
        profiler: makes hierarchical profiles of the same samples; its key must be that of a statement.
        observe: shown everything that `classify` returns, see `sampling.Observe`.
        with_draws: whether `classify` is given the draws of its images as well, see `sampling.Parts`; needs a
            `batch_size`.
        workers: threads that classify side by side, see `sampling.explore`.

    Returns:
        An iterator over the records of each sample, one per statement in their order, then its profiles; in the order
        of the samples, except where a procedure needs different numbers of draws: then as they are finished.

    Raises:
        ValueError: at once, if n can certify nothing at this alpha, or keys repeat; on the way, if an image lies
            outside [0, 1] or the classifier returns other labels than promised.
    """
    num_classes = check_statements(statements, batch_size)
    plan.check(len(statements))
    drawing = Drawing(plan.sigma, plan.seed, plan.noise)

    def run() -> Iterator[list[Any]]:
        source, size = iter(samples), batch_size
        if size is None:
            first = next(source, None)
            if first is None:
                return
            size = automatic_batch_size(
                classify, first.image.shape, drawing=drawing, device=device, threads=threads, precision=plan.precision
            )
            source = chain([first], source)
        yield from explore(
            classify,
            source,
            num_classes,
            procedure_of(statements, plan, profiler),
            num_groups=NUM_GROUPS,
            drawing=drawing,
            batch_size=size,
            device=device,
            threads=threads,
            precision=plan.precision,
            observe=observe,
            with_draws=with_draws,
            workers=workers,
        )

    return run()


def procedure_of(
    statements: Sequence[Statement], plan: SmoothingPlan, profiler: Profiler | None = None
) -> Callable[[Sample], Procedure[list[Any]]]:
    """What is drawn of each sample and made of its counts; see `certify` for the arguments."""
    certifier = Certifier(statements, plan)
    return certifier if profiler is None else profiler.after(certifier)

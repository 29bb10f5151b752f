"""Whether two folders of results are about the same pictures, trees, budget, noise and confidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hrvlm.evaluation.comparison_rows import DECODING, Results
from hrvlm.rows.strict import shown

FREE = frozenset(
    {
        *("weights", "head", "denoiser", "training_noise", "calibration"),
        *("seed", "num_images", "batch_size", "eps", "noise_shared"),
    }
)
"""What may differ: the model, what it was trained under and stands behind, and its calibration, if this is for the same
images; random numbers, how many images of the data and how many at once; budgets, of which only those that both have
are compared; and whether other epochs met the same noise, which is remarked upon."""
POPULATION = "population"
SETS = "data"
"""Names data sets, of which likewise only those that both have are compared."""
NOTES = "given_"


def check_same_work(one: Results, other: Results) -> None:
    """Refuses two folders of one command whose numbers are not about the same.

    Raises:
        ValueError: naming what differs, and both values.
    """
    for name, left, right in (
        *_budgets_apart(one, other),
        *_settings_apart(one, other),
        *_facts_apart(one, other),
    ):
        raise ValueError(
            f"expected folders of the same work to compare, got {name} {shown(left)} in {one.folder} and "
            f"{shown(right)} in {other.folder}: run certify.py {one.command} on both models alike"
        )
    if not one.images_of_sets().keys() & other.images_of_sets().keys():
        return  # nothing of the two is compared
    for index in sorted({index for images in shared_images([one, other]).values() for index in images}):
        left, right = one.labels(index), other.labels(index)
        for place in left.keys() & right.keys():
            if left[place] != right[place]:
                raise ValueError(
                    f"expected the same pictures, got label {left[place]} for image {index} in {one.folder} and "
                    f"{right[place]} in {other.folder}: compare folders of one data set"
                )


def _budgets_apart(one: Results, other: Results) -> Iterator[tuple[str, Any, Any]]:
    """Of several budgets, those that both have are compared."""
    left, right = one.budgets, other.budgets
    if left and right and not set(left) & set(right):
        yield "eps", _alone(left), _alone(right)


def _alone(values: list[float]) -> Any:
    return values[0] if len(values) == 1 else values


def _settings_apart(one: Results, other: Results) -> Iterator[tuple[str, Any, Any]]:
    if not one.settings or not other.settings:  # as of training runs
        return
    sets = [settings.get(SETS) for settings in (one.settings, other.settings)]
    shared = set.intersection(*(set(named) if isinstance(named, Mapping) else set() for named in sets))
    left, right = (_flat(_with_sets(part.settings, shared)) for part in (one, other))
    for name in sorted(dict.fromkeys([*left, *right]), key=_is_digest):  # which say less to a reader than other names
        if left.get(name) != right.get(name):
            yield name, left.get(name), right.get(name)


def _is_digest(name: str) -> bool:
    return name.endswith(".digest")


def _with_sets(settings: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """Settings with some of their data sets, and without what belongs to the model."""
    named = settings.get(SETS)
    chosen: dict[str, Any] = {SETS: {name: named[name] for name in sorted(names)}} if isinstance(named, Mapping) else {}
    decodes = isinstance(settings.get(DECODING), str)  # levels, which belongs to the model; of answers it is a mapping
    calibration = settings.get("calibration")
    if isinstance(calibration, Mapping):
        chosen[POPULATION] = calibration.get(POPULATION)
    return {name: value for name, value in {**settings, **chosen}.items() if name != DECODING or not decodes}


def _flat(settings: Any, before: str = "") -> dict[str, Any]:
    """Settings one by one, such as "sampling.noise", without those that may differ."""
    items = settings.items() if isinstance(settings, Mapping) else enumerate(settings)
    found: dict[str, Any] = {}
    for key, value in items:
        if key in FREE or (not before and str(key).startswith(NOTES)):
            continue
        nested = isinstance(value, Mapping | list) and value
        found |= _flat(value, f"{before}{key}.") if nested else {f"{before}{key}": value}
    return found


def _facts_apart(one: Results, other: Results) -> Iterator[tuple[str, Any, Any]]:
    for place, value in one.facts.items():
        if place[1] not in FREE and other.facts.get(place, value) != value:
            yield place[1], value, other.facts[place]


def shared_images(parts: Sequence[Results]) -> dict[str, list[int]]:
    """Images that all of some folders have rows of, by data set; of a data set that some lack, those of the others.

    Args:
        parts: One or more folders of one command. Rows of other commands than zero-shot name no data set: theirs is "".

    Raises:
        ValueError: If there are none.
    """
    found = [part.images_of_sets() for part in parts]
    names = [name for name in dict.fromkeys(name for sets in found for name in sets) if _is_shared(name, found)]
    shared = {name: sorted(set.intersection(*(sets[name] for sets in found if name in sets))) for name in names}
    folders = " and ".join(str(part.folder) for part in parts)
    if not shared:
        told = "; ".join(f"{part.folder}: {', '.join(sets)}" for part, sets in zip(parts, found, strict=True))
        raise ValueError(f"expected a data set that several have rows of, got none ({told}): name the same data")
    if not any(shared.values()):
        raise ValueError(f"expected images that all have rows of, got none in {folders}: choose the same num_images")
    return shared


def _is_shared(name: str, found: Sequence[Mapping[str, set[int]]]) -> bool:
    """Whether several folders have a data set, or the only folder."""
    return sum(name in sets for sets in found) >= min(2, len(found))

"""The text with which to ask a language model for superclasses; its answer is read by `hrvlm.trees.proposals`."""

from __future__ import annotations

from hrvlm.trees.class_lists import ClassList
from hrvlm.trees.nodes import TreeError

VIEWS = {
    "function": "what the thing is for, or what people have to do with it",
    "habitat": "where it lives, stands or is met",
    "material": "what it is made of or covered with, as one sees it: fur, feathers, metal, cloth, glass",
    "form": "its body plan or shape, whatever it is for",
    "kind": "what kind of thing it is",
}

_TEXT = """\
Group the {count} classes of an image data set into a hierarchy by {view}: {meaning}.

Rules:
- Every class is in exactly one group. Leave none out, add none, and write each exactly as it is listed.
- Use {groups} that hold classes, and gather these into {top} at the top.
- A group's name is a short noun phrase, in lower case, that fits after "a picture of a"; where it does not, add a
  "prompt" with the whole phrase. No two groups have the same name, and no group the name of a class.
- Group by what can be seen in a photograph. Where a class could stand in two groups, choose the one that a person
  would name first when looking at a typical picture of it.

Answer with JSON alone, no text around it, in this form:
{{"name": "{name}", "description": "one sentence", "source": "proposed by MODEL, DATE; reviewed by PERSON",
  "licence": "CC0-1.0", "levels": ["class", "group", "top group"],
  "groups": [
    {{"name": "top group", "groups": [
      {{"name": "group", "prompt": "a picture of some group", "leaves": ["class", "class"]}}]}}]}}

The classes{with_ids}:
{classes}
"""


def fitting_groups(num_classes: int) -> tuple[int, int]:
    """Least and most groups to ask for over so many classes: two to four classes in each at least, and at most 40."""
    most = max(1, min(40, num_classes // 2))
    return min(most, 8, max(2, num_classes // 4)), most


def fitting_top(groups: tuple[int, int]) -> tuple[int, int]:
    """Least and most groups at the top to ask for over so many groups."""
    most = max(1, min(8, groups[1] // 2))
    return min(3, most), most


def proposal_prompt(
    classes: ClassList, view: str, groups: tuple[int, int] | None = None, top: tuple[int, int] | None = None
) -> str:
    """Returns the text that asks for a proposal over some classes.

    Args:
        classes: What is to be grouped; the text lists names.
        view: One of `VIEWS`, or any other phrase that follows "by".
        groups: Least and most groups above the classes; None takes what fits their number.
        top: Least and most groups at the top; None takes what fits the groups.

    Raises:
        TreeError: If the view is empty or a range is not one.
    """
    if not view.strip():
        raise TreeError(f"expected a view such as {', '.join(VIEWS)}, got {view!r}")
    groups = groups or fitting_groups(len(classes.ids))
    top = top or fitting_top(groups)
    for low, high in (groups, top):
        if not 1 <= low <= high:
            raise TreeError(f"expected a number of groups from at least 1 up, got {low} to {high}")
    return _TEXT.format(
        count=len(classes.ids),
        view=view,
        meaning=VIEWS.get(view, "in the sense that a careful reader would give to these words"),
        groups=_range(groups),
        top=_range(top),
        name="classes_by_" + "_".join(view.split()),
        with_ids="" if all(key == name for key, name in classes.names.items()) else " (names; ids stay out of it)",
        classes="\n".join(classes.names.values()),
    )


def _range(ends: tuple[int, int]) -> str:
    number = str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
    return f"{number} group{'' if ends == (1, 1) else 's'}"

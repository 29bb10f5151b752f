"""Nothing takes more than ten settings: what belongs together is one value."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "hrvlm"
MOST = 10
# What still takes more; the list may only become shorter.
EXCEPTIONS = {
    "hrvlm.certificates.kinds.counted.Counted",  # fields of rows, as the next two
    "hrvlm.certificates.kinds.sampled.ClassifiedFields",
    "hrvlm.certificates.kinds.sampled.SampledFields",
    "hrvlm.certificates.run.plan.CertificationPlan",
    "hrvlm.certificates.sampling.plan.SmoothingPlan",
    "hrvlm.evaluation.audit.AuditSettings",
    "hrvlm.evaluation.robustness.RobustnessSettings",
    "hrvlm.evaluation.annotation.AnnotationSettings",
    "hrvlm.evaluation.sample_plan.PlanSettings",
    "hrvlm.evaluation.targeted_attack_settings.TargetedAttackSettings",
    "hrvlm.evaluation.settings.CertificationSettings",
}


def functions(node: ast.AST, place: str, of_class: bool = False) -> Iterator[tuple[str, int]]:
    """Every function in a syntax tree and its number of parameters, without self or cls; a constructor is its class."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            given = child.args
            names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            first = int(of_class and names[:1] in (["self"], ["cls"]))
            yield place if child.name == "__init__" else f"{place}.{child.name}", len(names) - first
            yield from functions(child, f"{place}.{child.name}")
        elif isinstance(child, ast.ClassDef):
            yield from functions(child, f"{place}.{child.name}", of_class=True)
        else:
            yield from functions(child, place, of_class)


def values(module: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Dataclasses of a module with their number of settings, inherited ones included; rows are no settings."""
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.decorator_list]
    for name in names:
        kind = getattr(importlib.import_module(module), name)
        if is_dataclass(kind) and not hasattr(kind, "to_row") and not name.endswith("Record"):
            yield f"{module}.{name}", sum(field.init for field in fields(kind))


def sizes() -> dict[str, int]:
    """Number of parameters of everything in the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= dict(functions(tree, module))
        if module != "hrvlm.__main__":
            found |= dict(values(module, tree))
    return found


def test_nothing_takes_more_than_ten_settings() -> None:
    found = sizes()
    assert len(found) > 1000
    assert {place: count for place, count in found.items() if count > MOST and place not in EXCEPTIONS} == {}
    assert {place for place in EXCEPTIONS if found.get(place, 0) <= MOST} == set()


@dataclass(frozen=True)
class Many:
    """A value of eleven settings, to be found."""

    a: int
    b: int
    c: int
    d: int
    e: int
    f: int
    g: int
    h: int
    i: int
    j: int
    k: int


def test_every_kind_of_signature_is_counted() -> None:
    eleven = ", ".join("abcdefghijk")
    source = f"class A:\n  def __init__(self, {eleven}): ...\n  @classmethod\n  def of(cls, *, {eleven}): ...\n"
    source += f"  @staticmethod\n  def at({eleven}): ...\ndef f(a, /, {eleven[3:]}):\n  def g({eleven}): ...\n"
    counted = {"m.A": 11, "m.A.of": 11, "m.A.at": 11, "m.f": 11, "m.f.g": 11}
    assert dict(functions(ast.parse(source), "m")) == counted
    own = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    assert dict(values(__name__, own)) == {f"{__name__}.Many": 11}

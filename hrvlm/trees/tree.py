"""`ClassTree`: one validated hierarchy over the classes of a data set, as levels and index tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from hrvlm.trees.negatives import Direction, negative_masks, parent_index
from hrvlm.trees.nodes import DEFAULT_TEMPLATE, Level, Node, TreeError, some
from hrvlm.trees.structure import Row, check_links, cut_rows, drop_void_rows, level_rows, path_to_top
from hrvlm.trees.words import composed, with_name

if TYPE_CHECKING:  # torch takes seconds to import, and a tree is read, checked and shown without it
    from torch import Tensor


@dataclass(frozen=True)
class TreeInfo:
    """What is said about a tree, beside its nodes.

    Attributes:
        name: what the tree is called in reports.
        source: where the hierarchy comes from.
        licence: licence of that source.
        description: a sentence for readers.
        template: prompt of nodes without one of their own; ``{}`` stands for the name, other braces for themselves.
        level_names: names from the leaves up, one per level before any cut; None for "leaf", "level 1", ...
        origin: file the tree came from, named first in every error.
        templates: prompts of the leaves, all of which are asked for together, in the place of those of their own; none
            as a rule.
    """

    name: str = "tree"
    source: str = "unknown"
    licence: str = "unknown"
    description: str = ""
    template: str = DEFAULT_TEMPLATE
    level_names: tuple[str, ...] | None = None
    origin: str = "<tree>"
    templates: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ClassTree:
    """A hierarchy whose leaves are the classes. Make one with `ClassTree.from_nodes` or `load_tree`.

    Attributes:
        info: name, source, licence, template and origin.
        nodes: node of every id, in the order of the file.
        rows: per level, leaves first, the id of the node that represents each leaf there.
        row_names: name of each level.
    """

    info: TreeInfo
    nodes: Mapping[str, Node] = field(repr=False)
    rows: tuple[Row, ...] = field(repr=False)
    row_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuses a tree in which two texts that must differ are equal (their margin would be zero for ever)."""
        for level in range(len(self.rows)):
            self._check_texts(level)

    @classmethod
    def from_nodes(
        cls, nodes: Sequence[Node], info: TreeInfo | None = None, num_levels: int | None = None
    ) -> ClassTree:
        """Builds and validates a tree from its nodes; nodes without children are the leaves, in the order given.

        Args:
            nodes: every node once, in any order.
            info: what is said about the tree.
            num_levels: cut to at most this many levels, leaves included (rule: `hrvlm.trees.structure`).

        Raises:
            TreeError: if the nodes do not form a valid tree.
            ValueError: if ``num_levels`` is below 1.
        """
        info = info or TreeInfo()
        table: dict[str, Node] = {}
        for node in nodes:
            if node.id in table:
                raise TreeError(f"{info.origin}: node {node.id!r} is defined twice; a node has one id and one parent")
            table[node.id] = node
        check_links(table, info.origin)
        if info.template.count("{}") != 1:
            raise TreeError(f"{info.origin}: expected exactly one {{}} in the template, got {info.template!r}")
        rows = level_rows(table)
        kept = drop_void_rows(rows)
        tree = cls(info, table, tuple(rows[i] for i in kept), _level_names(info, len(kept)))
        return tree._select(tree.rows, cut_rows(range(len(kept)), num_levels))

    @property
    def name(self) -> str:
        """What the tree is called in reports."""
        return self.info.name

    @property
    def source(self) -> str:
        """Where the hierarchy comes from."""
        return self.info.source

    @property
    def licence(self) -> str:
        """Licence of the source."""
        return self.info.licence

    @property
    def leaves(self) -> tuple[str, ...]:
        """Ids of the leaves; their order is the class order."""
        return self.rows[0]

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The levels, leaves first. Leaves keep the class order, higher nodes the order of the file."""
        levels = []
        for index, row in enumerate(self.rows):
            present = set(row)
            ids = row if index == 0 else tuple(node_id for node_id in self.nodes if node_id in present)
            levels.append(Level(index, self.row_names[index], ids, tuple(self.nodes[i].name for i in ids)))
        return tuple(levels)

    @cached_property
    def ancestors(self) -> Tensor:
        """Label of every leaf at every level: LongTensor ``(L+1, num_leaves)``, row 0 is ``arange(num_leaves)``."""
        import torch

        table = []
        for level, row in zip(self.levels, self.rows, strict=True):
            position = {node_id: index for index, node_id in enumerate(level.ids)}
            table.append([position[node_id] for node_id in row])
        return torch.tensor(table, dtype=torch.long)

    def parents(self, level: int) -> Tensor:
        """Returns the index in level+1 of each node's parent, see `hrvlm.trees.negatives.parent_index`."""
        return parent_index(self.ancestors, level)

    def negatives(self, level: int, direction: Direction) -> dict[int, Tensor]:
        """Returns the HNSA negatives of a level, see `hrvlm.trees.negatives.negative_masks`."""
        return negative_masks(self.ancestors, level, direction)

    def prompts(self, level: int) -> list[str]:
        """Returns the texts of a level: each node's own prompt, else the template filled with its name."""
        if level == 0 and self.info.templates:
            return [first for first, *_ in self.wordings(level)]
        return [self._prompt(node_id) for node_id in self.levels[level].ids]

    def wordings(self, level: int) -> list[tuple[str, ...]]:
        """Returns all texts of each node of a level: one, but for leaves as many as they have templates."""
        if level > 0 or not self.info.templates:
            return [(prompt,) for prompt in self.prompts(level)]
        return [tuple(with_name(words, name) for words in self.info.templates) for name in self.levels[0].names]

    def with_templates(self, templates: Sequence[str]) -> ClassTree:
        """Returns this tree with prompts for its leaves; higher nodes keep theirs.

        Args:
            templates: at least one, each with ``{}`` for the name.

        Raises:
            TreeError: if a template has not exactly one ``{}``, or two leaves would have the same text.
        """
        if not templates or any(template.count("{}") != 1 for template in templates):
            raise TreeError(
                f"{self.info.origin}: expected templates with exactly one {{}} each, got {list(templates)[:3]}"
            )
        return replace(self, info=replace(self.info, templates=tuple(templates)))

    def restrict(self, leaves: Sequence[str]) -> ClassTree:
        """Returns this tree over the given leaves only, in exactly that order.

        Nodes that lose all their leaves go; then levels left with a single node, or equal to the level below, go.

        Raises:
            TreeError: if a leaf is not in the tree, is given twice, or none is given.
        """
        position = {composed(leaf): index for index, leaf in enumerate(self.leaves)}
        leaves = [composed(leaf) for leaf in leaves]
        missing = [leaf for leaf in leaves if leaf not in position]
        if missing:
            raise TreeError(f"{self.info.origin}: no leaf for {len(missing)} of {len(leaves)} classes: {some(missing)}")
        twice = sorted({leaf for leaf in leaves if leaves.count(leaf) > 1})
        if twice or not leaves:
            raise TreeError(f"{self.info.origin}: expected at least one leaf, each once, got twice: {some(twice)}")
        columns = [position[leaf] for leaf in leaves]
        rows = tuple(tuple(row[column] for column in columns) for row in self.rows)
        return self._select(rows, drop_void_rows(rows))

    def _select(self, rows: Sequence[Row], kept: Sequence[int]) -> ClassTree:
        """Returns a tree with the kept ones of the given rows, and the nodes above their leaves."""
        used = {node_id for leaf in rows[0] for node_id in path_to_top(self.nodes, leaf)}
        nodes = {node_id: node for node_id, node in self.nodes.items() if node_id in used}
        names = tuple(self.row_names[i] for i in kept)
        return replace(self, nodes=nodes, rows=tuple(rows[i] for i in kept), row_names=names)

    def _prompt(self, node_id: str) -> str:
        node = self.nodes[node_id]
        return node.prompt if node.prompt is not None else with_name(self.info.template, node.name)

    def _check_texts(self, level: int) -> None:
        """Raises TreeError if a text occurs twice in a level, or again in the next one without an edge between."""
        owner: dict[str, str] = {}
        for node_id, text in zip(self.levels[level].ids, map(_plain, self.prompts(level)), strict=True):
            if text in owner:
                raise TreeError(
                    f"{self.info.origin}: nodes {owner[text]!r} and {node_id!r} of {self.row_names[level]!r} have the "
                    f"same text {text!r}; give one of them another name or prompt"
                )
            owner[text] = node_id
        if level + 1 == len(self.rows):
            return
        edges = set(zip(self.rows[level], self.rows[level + 1], strict=True))
        for node_id, text in zip(self.levels[level + 1].ids, map(_plain, self.prompts(level + 1)), strict=True):
            if text in owner and (owner[text], node_id) not in edges:
                raise TreeError(
                    f"{self.info.origin}: node {owner[text]!r} and node {node_id!r} one level up share no edge but "
                    f"have the same text {text!r}; give one of them another name or prompt"
                )


def _plain(text: str) -> str:
    """Returns a text as tokenisers see it: lower case, single spaces."""
    return " ".join(text.lower().split())


def _level_names(info: TreeInfo, count: int) -> tuple[str, ...]:
    """Returns the names of the levels, checked against their number."""
    if info.level_names is None:
        return ("leaf", *(f"level {index}" for index in range(1, count)))
    if len(info.level_names) != count or len(set(info.level_names)) != count:
        raise TreeError(
            f"{info.origin}: expected {count} different level names from the leaves up (levels with a single node are "
            f"dropped and have none), got {list(info.level_names)}"
        )
    if not all(name.strip() for name in info.level_names):
        raise TreeError(f"{info.origin}: expected level names that are not blank, got {list(info.level_names)}")
    return tuple(info.level_names)

"""`hrvlm tree`: builds, imports, checks, shows and compares class trees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser, sentence
from hrvlm.cli.tree_output import WIDTH, print_comparison, print_tree, summary
from hrvlm.reports.terminal import console, say
from hrvlm.trees import ClassTree, Forest, TreeError, TreeInfo, load_tree, save_tree
from hrvlm.trees.asking import VIEWS, proposal_prompt
from hrvlm.trees.class_lists import ClassList, read_classes
from hrvlm.trees.comparing import compare_trees
from hrvlm.trees.cutting import DEFAULT_LEAST, check_sizes, cut_by_size
from hrvlm.trees.nodes import DEFAULT_TEMPLATE, some
from hrvlm.trees.proposals import import_proposal
from hrvlm.trees.remarks import remarks
from hrvlm.trees.wordnet import POLICIES, build_wordnet_tree
from hrvlm.trees.wordnet_data import open_wordnet, prepare_wordnet
from hrvlm.trees.words import file_name, tell_ids
from hrvlm.whole_files import path_of

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

LEAVES = "the classes: a tree file, a folder of class folders, or a .txt, .yaml or .json list (docs/trees.md)"


def _parser() -> ClearParser:
    return ClearParser(description=__doc__)


def _add_actions(parser: ClearParser) -> None:
    actions = parser.add_subcommands(dest="action")
    for name, (add_arguments, function) in _ACTIONS.items():
        action = ClearParser(description=function.__doc__ or "")
        add_arguments(action)
        actions.add_subcommand(name, action)


def _run(options: Any, given: Any) -> None:
    """Runs the chosen action.

    Raises:
        ValueError: For whatever a user can mend.
        SystemExit: With code 1 if a check fails, or two trees differ.
    """
    _ACTIONS[options.action][1](options[options.action])


def _build_arguments(parser: ClearParser) -> None:
    parser.add_argument("--leaves", required=True, help=LEAVES + "; each with a synset id")
    parser.add_argument("--output", type=path_of, required=True, help="tree file to write")
    parser.add_argument(
        "--least", type=int, nargs="+", default=list(DEFAULT_LEAST), help="classes in a node of each level, rising"
    )
    parser.add_argument(
        "--policy", default="longest", choices=POLICIES, help="which of several hypernyms is the parent"
    )
    parser.add_argument("--roots", nargs="*", default=[], help="synset ids to be top nodes; a path ends at the first")
    parser.add_argument("--wordnet", help="folder of WordNet 3.0's database files, or nltk data folder")
    parser.add_argument("--description", default="", help="a sentence for readers")
    parser.add_argument("--template", default=DEFAULT_TEMPLATE, help="prompt of a node; {} stands for its name")


def build(options: Any) -> None:
    """Builds a tree from WordNet 3.0: every class below hypernyms of its synset, in levels of large groups."""
    _check_output(options.output)
    check_sizes(options.least)
    classes = read_classes(options.leaves)
    missing = [key for key in classes.ids if key not in classes.synsets]
    if missing:
        raise TreeError(
            f"{options.leaves}: {len(missing)} of {len(classes.ids)} classes have no synset id such as n02084071: "
            f"{some(missing)}; write a mapping from class to synset id"
        )
    info = TreeInfo(
        name=Path(options.output).stem,
        source="WordNet 3.0, Princeton University, https://wordnet.princeton.edu",
        licence="WordNet 3.0 license",
        description=options.description,
        template=options.template,
        origin=options.output,
    )
    synsets = {key: classes.synsets[key] for key in classes.ids}
    with _wordnet(options.wordnet) as wordnet:
        full = build_wordnet_tree(
            wordnet, synsets, policy=options.policy, roots=options.roots, names=classes.names, info=info
        )
    _write(cut_by_size(full, options.least), options.output)


@contextmanager
def _wordnet(folder: str | None) -> Iterator[WordNetCorpusReader]:
    """Opens WordNet, from a folder of database files through a temporary copy in the layout that nltk wants."""
    if folder is None or not (Path(folder) / "data.noun").is_file():
        yield open_wordnet(folder)
        return
    with TemporaryDirectory() as scratch:
        yield open_wordnet(prepare_wordnet(folder, scratch))


def _import_arguments(parser: ClearParser) -> None:
    parser.add_argument("file", help="proposal (JSON, see docs/trees.md)")
    parser.add_argument("--leaves", required=True, help=LEAVES)
    parser.add_argument("--output", type=path_of, help="tree file to write; NAME.yaml beside the proposal if not given")
    for key in ("name", "description", "source", "licence", "template"):
        parser.add_argument(f"--{key}", help=f"replaces the proposal's {key}")


def import_(options: Any) -> None:
    """Imports superclasses that a language model or a person proposed, if they hold every class exactly once."""
    keys = ("name", "description", "source", "licence", "template")
    if options.output:
        _check_output(options.output)
    head = {key: options[key] for key in keys if options[key] is not None}
    tree = import_proposal(options.file, read_classes(options.leaves), **head)
    _write(tree, options.output or str(Path(options.file).with_name(f"{file_name(tree.name)}.yaml")))


def _check_output(path: str) -> None:
    if not Path(path).parent.is_dir():
        raise TreeError(f"{path}: no folder {Path(path).parent}; make it, or choose another output")


def _write(tree: ClassTree, path: str) -> None:
    save_tree(tree, path)
    tell_ids(words_of(tree), path)
    console(WIDTH).print(f"{summary(load_tree(path))} -> {path}", highlight=False, soft_wrap=True)


def _prompt_arguments(parser: ClearParser) -> None:
    parser.add_argument("--leaves", required=True, help=LEAVES)
    parser.add_argument("--view", default="kind", help=f"what to group by: {', '.join(VIEWS)}, or words of your own")
    fits = "what fits the number of classes, 8 40 and 3 8 for 80 or more, if left out"
    parser.add_argument("--groups", type=int, nargs=2, help=f"least and most groups of classes; {fits}")
    parser.add_argument("--top", type=int, nargs=2, help="least and most groups at the top; what fits, too")


def prompt(options: Any) -> None:
    """Prints the text with which to ask a language model for superclasses."""
    groups, top = (None if ends is None else tuple(ends) for ends in (options.groups, options.top))
    text = proposal_prompt(read_classes(options.leaves), options.view, groups, top)
    say(text, end="")


def _check_arguments(parser: ClearParser) -> None:
    parser.add_argument("files", nargs="+", help="tree files")
    parser.add_argument("--leaves", help=LEAVES + "; every tree must hold them all, and is restricted to them")
    parser.add_argument("--forest", action="store_true", help="the trees must hold the same leaves")


def check(options: Any) -> None:
    """Checks tree files as training would, and says what could be better; exits with 1 if one is not valid."""
    classes = None if options.leaves is None else read_classes(options.leaves)
    trees, faults = [], []
    for path in options.files:
        try:
            trees.append(_loaded(path, classes))
            tell_ids(words_of(trees[-1]), path)
            for line in (summary(trees[-1]), *remarks(trees[-1])):
                console(WIDTH).print(line, highlight=False, soft_wrap=True)
        except TreeError as error:
            faults.append(sentence(error))
    if (options.forest or classes is not None) and not faults:
        Forest(trees)
    if faults:
        raise TreeError("; ".join(faults))


def words_of(tree: ClassTree) -> list[str]:
    """The texts of a tree that a text encoder reads: own prompts, or else names."""
    return [node.prompt or node.name for node in tree.nodes.values()]


def _loaded(path: str, classes: ClassList | None) -> ClassTree:
    tree = load_tree(path)
    return tree if classes is None else tree.restrict(classes.ids)


def _show_arguments(parser: ClearParser) -> None:
    parser.add_argument("file", help="tree file")
    parser.add_argument("--depth", type=int, help="levels of nodes to show, counted from the top; all if not given")
    parser.add_argument("--prompts", action="store_true", help="show prompts in place of names")


def show(options: Any) -> None:
    """Shows a tree, with the number of classes below each node and of nodes in each level."""
    if options.depth is not None and options.depth < 1:
        raise TreeError(f"expected --depth of at least 1, got {options.depth}")
    print_tree(load_tree(options.file), options.depth, options.prompts)


def _diff_arguments(parser: ClearParser) -> None:
    parser.add_argument("first", help="tree file")
    parser.add_argument("second", help="tree file")
    parser.add_argument("--limit", type=int, default=20, help="most nodes and leaves to list of each kind")


def diff(options: Any) -> None:
    """Shows what differs between two trees; exits with 1 if nodes, leaves or paths do."""
    first, second = load_tree(options.first), load_tree(options.second)
    difference = compare_trees(first, second)
    print_comparison(first, second, difference, options.limit)
    if not difference.same:
        raise SystemExit(1)


_ACTIONS = {
    "build": (_build_arguments, build),
    "import": (_import_arguments, import_),
    "prompt": (_prompt_arguments, prompt),
    "check": (_check_arguments, check),
    "show": (_show_arguments, show),
    "diff": (_diff_arguments, diff),
}


COMMAND = Command(_parser, _run, _add_actions)

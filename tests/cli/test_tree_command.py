"""`hrvlm tree` as a user calls it: what each command does, and one sentence where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nltk.corpus.reader.wordnet import WordNetCorpusReader

from hrvlm.cli.main import main
from hrvlm.trees import load_tree
from hrvlm.trees.wordnet_data import ENVIRONMENT_VARIABLE, open_wordnet, prepare_wordnet

ROOT = Path(__file__).parents[2]
CIFAR, CLASSES = str(ROOT / "trees" / "cifar10.yaml"), str(ROOT / "trees" / "sources" / "imagenet_classes.yaml")
ROOTS = "n00004475 n00021939 n00001740"
DESCRIPTION = (
    "The 1,000 classes of ImageNet by WordNet hypernym; a node of the levels above the leaves has at least 3, 10, 45 "
    "and 215 classes below it."
)
DEBIAN = Path("/usr/share/wordnet")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["tree", *arguments])
    assert stopped.value.code not in (0, None)
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("hrvlm: error: ")
    return sentence


def proposal(folder: Path, *groups: tuple[str, list[str]]) -> str:
    content = {"name": "p", "source": "s", "licence": "l", "groups": [{"name": n, "leaves": ls} for n, ls in groups]}
    (folder / "p.json").write_text(json.dumps(content))
    return str(folder / "p.json")


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> WordNetCorpusReader:
    if not (DEBIAN / "data.noun").is_file():
        pytest.skip("no WordNet database files")
    return open_wordnet(prepare_wordnet(DEBIAN, tmp_path_factory.mktemp("nltk_data")))


@pytest.mark.slow
def test_the_shipped_imagenet_tree_is_what_the_command_builds(wordnet: WordNetCorpusReader, tmp_path: Path) -> None:
    path = tmp_path / "imagenet_wordnet.yaml"
    main(["tree", "build", "--leaves", CLASSES, "--output", str(path), "--wordnet", str(DEBIAN), "--description",
          DESCRIPTION, "--roots", *ROOTS.split()])  # fmt: skip
    assert path.read_bytes() == (ROOT / "trees" / "imagenet_wordnet.yaml").read_bytes()


@pytest.mark.slow
def test_every_superclass_of_imagenet_is_a_hypernym(wordnet: WordNetCorpusReader) -> None:
    tree = load_tree(ROOT / "trees" / "imagenet_wordnet.yaml")
    for column in zip(*tree.rows, strict=True):
        leaf = wordnet.synset_from_pos_and_offset("n", int(column[0][1:]))
        above = {f"n{one.offset():08d}" for path in leaf.hypernym_paths() for one in path}
        assert {tree.nodes[node].synset for node in column} <= above, column


def test_building_needs_wordnet_and_synsets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))
    output = str(tmp_path / "t.yaml")
    assert "apt-get install wordnet-base" in refused(capsys, "build", "--leaves", CLASSES, "--output", output)
    assert "10 of 10 classes have no synset id" in refused(capsys, "build", "--leaves", CIFAR, "--output", output)
    assert "policy" in refused(capsys, "build", "--leaves", CLASSES, "--output", output, "--policy", "random")
    assert "no such list" in refused(capsys, "build", "--leaves", "none.txt", "--output", output)


def test_sizes_that_do_not_rise_are_refused_before_wordnet_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("build", "--leaves", CLASSES, "--output", str(tmp_path / "t.yaml"), "--wordnet", str(tmp_path))
    assert "rise from 2 or more, got [3, 2]" in refused(capsys, *given, "--least", "3", "2")


def test_import_writes_a_tree_or_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaves = load_tree(CIFAR).leaves
    good = proposal(tmp_path, ("first half", list(leaves[:5])), ("second half", list(leaves[5:])))
    main(["tree", "import", good, "--leaves", CIFAR, "--licence", "CC0-1.0"])
    assert load_tree(tmp_path / "p.yaml").licence == "CC0-1.0"
    assert "10 leaf, 2 level 1" in capsys.readouterr().out
    assert "no folder" in refused(
        capsys, "import", good, "--leaves", CIFAR, "--output", str(tmp_path / "no" / "t.yaml")
    )
    bad = proposal(tmp_path, ("first half", [*leaves[:5], "unicorn"]), ("second half", list(leaves[4:8])))
    sentence = refused(capsys, "import", bad, "--leaves", CIFAR)
    for part in (
        "2 of 10 classes are in no group: 'ship', 'truck'",
        "1 leaves are not classes",
        "given more than once",
    ):
        assert part in sentence


def test_prompt_prints_the_question(capsys: pytest.CaptureFixture[str]) -> None:
    main(["tree", "prompt", "--leaves", CIFAR, "--view", "function"])
    text = capsys.readouterr().out
    assert "by function" in text
    assert text.endswith("horse\nship\ntruck\n")
    assert "from at least 1 up" in refused(capsys, "prompt", "--leaves", CIFAR, "--groups", "9", "2")


def test_check_reports_levels_and_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hundred = str(ROOT / "trees" / "cifar100.yaml")
    main(["tree", "check", CIFAR, hundred])
    assert capsys.readouterr().out.splitlines() == [
        "cifar10: 3 levels (10 class, 5 kind, 2 group)",
        "cifar10: the names of 2 superclasses are unions: 'bird or frog', 'craft of air or water'",
        "cifar100: 3 levels (100 class, 20 superclass, 6 group)",
        "cifar100: 1 of 6 nodes of 'group' only repeat a node of the level below: 'people'",
        "cifar100: the names of 2 superclasses are unions: 'fruit or vegetable', 'large omnivore or herbivore'",
    ]
    assert "need the same leaves" in refused(capsys, "check", CIFAR, hundred, "--forest")
    assert "no leaf for 10 of 10 classes" in refused(capsys, "check", hundred, "--leaves", CIFAR)
    (tmp_path / "bad.yaml").write_text("name: t\n")
    sentence = refused(capsys, "check", str(tmp_path / "bad.yaml"), CIFAR, str(tmp_path / "none.yaml"))
    assert "missing source" in sentence
    assert "none.yaml: no such tree file" in sentence


def test_names_that_look_like_ids_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "images" / "golden_retriever").mkdir(parents=True)
    (tmp_path / "images" / "SeaOtter").mkdir()
    file = proposal(tmp_path, ("four_legs", ["golden_retriever", "SeaOtter"]))
    main(["tree", "import", file, "--leaves", str(tmp_path / "images")])
    told = [record.getMessage() for record in caplog.records]
    assert "images: no names are given for 2 ids" in told[0]
    assert "'four_legs' as 'four legs'" in told[1]
    assert load_tree(tmp_path / "p.yaml").levels[0].names == ("Sea Otter", "golden retriever")
    own = tmp_path / "own.yaml"
    leaf = "{parent: top, prompt: a picture of a GoldenRetriever}"
    own.write_text(f"name: t\nsource: s\nlicence: l\nnodes:\n  top: {{parent: null}}\n  dog: {leaf}\n")
    caplog.clear()
    main(["tree", "check", str(own), str(ROOT / "trees" / "cifar100.yaml"), str(ROOT / "trees" / "emoji_form.yaml")])
    assert "own.yaml: 1 names or prompts look like identifiers" in caplog.text
    assert len(caplog.records) == 1


def test_show_prints_nodes_and_levels(capsys: pytest.CaptureFixture[str]) -> None:
    main(["tree", "show", CIFAR])
    whole = capsys.readouterr().out
    assert "automobile" in whole
    main(["tree", "show", CIFAR, "--depth", "2", "--prompts"])
    short = capsys.readouterr().out
    assert "a picture of a road vehicle (2)" in short
    assert "automobile" not in short
    assert "--depth of at least 1" in refused(capsys, "show", CIFAR, "--depth", "0")


def test_diff_lists_what_moved_and_agreement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["tree", "diff", CIFAR, CIFAR])
    assert capsys.readouterr().out.count("1.000") == 2
    other = tmp_path / "other.yaml"
    text = Path(CIFAR).read_text(encoding="utf-8")
    other.write_text(text.replace("frog: {parent: kind/bird or frog}", "frog: {parent: kind/pet}"), encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(["tree", "diff", CIFAR, str(other)])
    assert stopped.value.code == 1
    out = capsys.readouterr().out
    assert "frog: kind/bird or frog < group/animal -> kind/pet < group/animal" in out
    assert "leaves whose path differs: 1" in out
    assert "share" in refused(capsys, "diff", CIFAR, str(ROOT / "trees" / "cifar100.yaml"))


def test_an_unknown_command_is_answered_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "invalid choice" in refused(capsys, "grow")

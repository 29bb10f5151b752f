"""What parsers complain of is told in words, with options that may have been meant."""

from __future__ import annotations

import pytest

from hrvlm.cli.certify import main

GIVEN = ["--checkpoint", "emoji", "--data", "photos", "--output", "results"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ["attack", *GIVEN, "--num_images", "3"],
            "unrecognized arguments: --num_images 3; perhaps meant: --plan.num_images",
        ),
        (["run", *GIVEN, "--n0=3", "--sigma=1"], "--n0=3 --sigma=1; perhaps meant: --plan.n0, --plan.sigma"),
        (["attack", *GIVEN, "--number", "3"], "unrecognized arguments: --number 3\n"),
        (["attack", *GIVEN, "--eps", "4/0"], "Expected a number, or a fraction such as 4/255. Got value: 4/0"),
        (["run", *GIVEN, "--trees", "animals"], "Expected a list such as [one, two]. Got value: animals"),
        (["run", *GIVEN, "--head", "other"], "Expected one of 'trained', 'cosine'. Got value: other"),
    ],
)
def test_mistakes_on_the_command_line(command: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1

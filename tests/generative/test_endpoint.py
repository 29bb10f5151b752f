"""Models behind a server: what it is sent, what counts as an answer, and what happens when it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch
from endpoint_server import Endpoint, serving
from torch import Tensor

from hrvlm.generative import Decoding, load_generator
from hrvlm.generative.endpoint import eight_bit
from hrvlm.generative.endpoint_client import KEY_VARIABLE, EndpointAddress, EndpointOptions


def brightness(picture: Tensor, prompt: str) -> str:
    """A function of the picture that every pixel changes."""
    weights = torch.arange(1, picture.numel() + 1, dtype=torch.float64).view(picture.shape)
    return f" {prompt} {int((picture.double() * 255).round().mul(weights).sum())}\n"


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with serving(brightness) as found:
        yield found


def noisy(count: int = 6) -> Tensor:
    return torch.randn(count, 3, 5, 7, generator=torch.Generator().manual_seed(3)) * 0.4 + 0.5


def test_pictures_arrive_clipped_and_rounded_and_answers_come_in_their_order(server: Endpoint) -> None:
    generator = load_generator(server.address, prompt="how bright", decoding=Decoding(max_new_tokens=7))
    images = noisy(40)
    seen = [brightness(picture.float() / 255, "how bright").strip() for picture in eight_bit(images)]
    assert len(set(seen)) == len(seen)
    assert generator.generate(images) == seen
    assert {(body["model"], body["max_tokens"], body["temperature"]) for body in server.bodies} == {("tiny", 7, 0.0)}
    assert generator.num_uniforms == 0


def test_eight_bits_are_the_nearest_of_the_clipped_pixels() -> None:
    levels = torch.arange(256) / 255
    assert torch.equal(eight_bit(levels), torch.arange(256, dtype=torch.uint8))
    for change in (0.49, -0.49):
        assert torch.equal(eight_bit(levels + change / 255), torch.arange(256, dtype=torch.uint8))
    assert eight_bit(torch.tensor([-0.7, 1.9, torch.inf, -torch.inf, torch.nan])).tolist() == [0, 255, 255, 0, 0]


def test_requests_are_made_at_the_same_time() -> None:
    together = threading.Barrier(4, timeout=20)

    def meeting(picture: Tensor, prompt: str) -> str:
        together.wait()
        return "met"

    with serving(meeting) as server:
        server.lock = threading.Semaphore(4)  # type: ignore[assignment]
        generator = load_generator(server.address, endpoint=EndpointOptions(in_flight=4))
        assert generator.generate(noisy(4)) == ["met"] * 4


def test_what_fails_for_a_while_is_asked_again(server: Endpoint) -> None:
    server.failures = [(0, ""), (503, "loading")]
    generator = load_generator(server.address, endpoint=EndpointOptions(in_flight=1))
    assert len(set(generator.generate(noisy(3)))) == 3
    assert len(server.bodies) == 5


@pytest.mark.parametrize(
    ("status", "text", "message"),
    [
        (400, '{"error": {"message": "no pictures"}}', "got status 400: .*no pictures"),
        (503, "loading", "2 times, last status 503: loading; see whether it runs"),
        (0, "", "2 times, last RemoteDisconnected.*and run this again to go on"),
        (1, '{"choices": [', "2 times, last IncompleteRead: .*; see whether it runs"),
        (200, "<html>", "expected JSON from the server .* got b'<html>'"),
        (200, '{"choices": []}', r"expected choices\[0\].message.content as text from the server .*'choices': \[\]"),
        (200, '"a cat"', r"expected choices\[0\].message.content as text from the server .*got 'a cat'"),
        (200, "null", r"expected choices\[0\].message.content as text from the server .*got None"),
        (200, "x" * 1_000_001, "2 times, last HTTPException: a reply of more than 1000000 bytes"),
    ],
)
def test_what_goes_on_failing_is_one_sentence(status: int, text: str, message: str, server: Endpoint) -> None:
    server.failures = [(status, text)] * 120
    generator = load_generator(server.address, endpoint=EndpointOptions(in_flight=2, attempts=2))
    with pytest.raises(ValueError, match=message) as stopped:
        generator.generate(noisy(60))
    assert "\n" not in str(stopped.value)
    assert len(server.bodies) < 60  # the rest is given up


def test_a_server_that_is_too_slow_and_one_that_is_not_there(server: Endpoint) -> None:
    def slow(picture: Tensor, prompt: str) -> str:
        time.sleep(0.3)
        return "late"

    server.answering = slow
    generator = load_generator(server.address, endpoint=EndpointOptions(timeout=0.05, attempts=1))
    with pytest.raises(ValueError, match="1 times, last TimeoutError"):
        generator.generate(noisy(1))
    with serving(brightness) as gone:
        address = gone.address
    with pytest.raises(ValueError, match=f"expected the server at {address} to answer /models, got"):
        load_generator(address, endpoint=EndpointOptions(attempts=2))


def test_an_answer_without_text_is_blank(server: Endpoint) -> None:
    server.failures = [(200, '{"choices": [{"message": {"content": null}, "finish_reason": "content_filter"}]}')]
    assert load_generator(server.address).generate(noisy(1)) == [""]


def test_the_key_goes_where_nobody_reads_it(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    load_generator(server.address).generate(noisy(1))
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    generator = load_generator(server.address)
    generator.generate(noisy(1))
    assert server.keys == [None, "Bearer secret"]
    assert "secret" not in str(generator.describe())
    with pytest.raises(ValueError, match="expected an https address for the key") as stopped:
        load_generator("http://192.0.2.1:8000/v1")
    assert "secret" not in str(stopped.value)
    for key in ("secret\n", "secr\u00e9t"):
        monkeypatch.setenv(KEY_VARIABLE, key)
        with pytest.raises(ValueError, match="expected printable ASCII characters in HRVLM_ENDPOINT_KEY") as stopped:
            load_generator(server.address)
        assert "secr" not in str(stopped.value)


def test_a_model_is_named_where_there_are_several() -> None:
    with serving(brightness, "org/one", "two") as server:
        generator = load_generator(f"{server.address}#org/one", prompt="?")
        decoding = Decoding().to_row()
        served = {"id": "org/one", "root": "/models/org/one"}
        pictures = "PNG of 8 bits: clipped to [0, 1], rounded to multiples of 1/255"
        found = {"name": "org/one", "prompt": "?", "decoding": decoding, "endpoint": served, "pictures": pictures}
        assert generator.describe() == found
        with pytest.raises(ValueError, match=r'"#MODEL" behind the address at .* it serves org/one, two'):
            load_generator(server.address)
        with pytest.raises(ValueError, match=r"expected the model 'three' .* it serves org/one, two"):
            load_generator(f"{server.address}#three")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("https://[::1]:8/v2/#a/b", "https://[::1]:8/v2"),
        ("http://host/v1", "http://host/v1"),
    ],
)
def test_addresses(text: str, said: str) -> None:
    assert str(EndpointAddress.of(text)) == said


@pytest.mark.parametrize(
    "text",
    ["http://", "http://u:hidden@host/v1", "http://host/v1?key=hidden", "http://h:99999", "http://u:hidden@h:99999",
     "http://u:hidden/or@host/v1", "http://u:hidden@[h/v1"],
)  # fmt: skip
def test_other_addresses_are_refused_without_what_may_be_secret(text: str) -> None:
    with pytest.raises(ValueError, match="expected the address of a server") as stopped:
        EndpointAddress.of(text)
    assert "hidden" not in str(stopped.value)


@pytest.mark.parametrize("changes", [{"in_flight": 0}, {"attempts": 0}, {"timeout": 0.0}, {"timeout": torch.inf}])
def test_options_are_checked(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected in_flight and attempts >= 1"):
        EndpointOptions(**changes)  # type: ignore[arg-type]


def test_random_decoding_has_no_address_there() -> None:
    with pytest.raises(ValueError, match="expected greedy decoding with a server, got temperature"):
        load_generator("http://127.0.0.1:9/v1", decoding=Decoding(temperature=0.5))

"""Models of optional packages: a clear sentence where one is missing, and no progress bars while weights are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hrvlm.generative.transformers_files import check_complete
from hrvlm.models import check_finite


def missing(package: str, purpose: str, extra: str) -> ValueError:
    """What to raise where an optional package is not installed."""
    return ValueError(f'expected the package {package} for {purpose}, found none: pip install "hrvlm[{extra}]"')


@contextmanager
def quiet_loading() -> Iterator[None]:
    """No progress bars of transformers inside; afterwards as before."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    try:
        logging.disable_progress_bar()
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load_text_model(kind: str, path: str, what: str, *, dtype: str = "float32") -> tuple[Any, Any]:
    """Tokenizer and model of a local folder of transformers, from safetensors; none of its code is run.

    Args:
        kind: Name of a class of transformers, such as "AutoModelForCausalLM".
        path: The folder.
        what: What should be there, for messages.
        dtype: Type of its numbers; "auto" for that of the files.

    Raises:
        ValueError: If package, folder or files are missing or damaged.
    """
    if not (Path(path) / "config.json").is_file():
        raise ValueError(f"expected path as a local folder of a transformers model, found no config.json in {path}")
    try:
        import transformers
    except ImportError as error:
        raise missing("transformers", what.replace("a ", "a transformers ", 1), "generative") from error
    given = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet_loading():
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, **given)
            model, found = getattr(transformers, kind).from_pretrained(
                path, use_safetensors=True, dtype=dtype, output_loading_info=True, **given
            )
    except Exception as error:  # from_pretrained raises many kinds for damaged files; all mean the same to the user
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(f"expected {what} with tokenizer and safetensors in {path}: {problem}") from error
    check_complete(path, found)
    check_finite(model.state_dict(), path)
    return tokenizer, model.eval()

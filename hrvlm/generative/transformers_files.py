"""Reading of models that transformers saved: without running code, from safetensors, complete or not at all."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

from hrvlm.models.finite import check_finite

EXTRA = 'run `pip install "hrvlm[generative]"`'
Dtype: TypeAlias = Literal["float32", "bfloat16", "float16", "auto"]
DeviceMap: TypeAlias = str | dict[str, str | int] | None


def require_transformers() -> Any:
    """The package transformers.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise ValueError(f"expected the package transformers to be installed, found none; {EXTRA}") from error
    return transformers


def read_pretrained(path: str | Path, *, dtype: Dtype, device_map: DeviceMap = None) -> tuple[Any, Any]:
    """Model and processor.

    Args:
        path: A folder, from which alone is read, or a name on the hub.
        dtype: As transformers calls it; "auto" for the type of the files.
        device_map: Where which part of the model goes, as the package accelerate takes it: "auto" spreads it over all
            devices, a mapping names a device per module. None leaves it on the processor.

    Returns:
        What AutoModelForImageTextToText and AutoProcessor give.

    Raises:
        ValueError: If the package is missing, or anything of the model is missing, damaged or of another kind.
    """
    library = require_transformers()
    placed = _placed(device_map)
    options = {"local_files_only": Path(path).is_dir(), "trust_remote_code": False}
    try:
        with _quiet(library):
            processor = library.AutoProcessor.from_pretrained(str(path), **options)
            model, found = library.AutoModelForImageTextToText.from_pretrained(
                str(path), dtype=dtype, use_safetensors=True, output_loading_info=True, **placed, **options
            )
    except ImportError as error:  # some processors need one more package
        raise ValueError(f"could not load {path}: {_line(error)}; {EXTRA}") from error
    except Exception as error:  # from_pretrained raises many kinds for damaged files; all mean the same to the user
        raise ValueError(
            "expected a model that answers about pictures, as saved by transformers with its processor and safetensors "
            f"weights, at {path}: {_line(error)}"
        ) from error
    check_complete(path, found)
    _check_in_memory(path, model)
    check_finite(model.state_dict(), path)
    if getattr(processor, "image_processor", None) is None or getattr(processor, "tokenizer", None) is None:
        raise ValueError(f"expected a processor of images and texts at {path}, got {type(processor).__name__}")
    return model, processor


def check_complete(path: str | Path, found: dict[str, Any]) -> None:
    """Refuses weights that lack: transformers gives them random values and goes on.

    Args:
        path: Where the model lies.
        found: What transformers says of the loading.

    Raises:
        ValueError: Naming one that lacks.
    """
    lacking = sorted(str(key) for kind in ("missing_keys", "mismatched_keys") for key in found.get(kind) or ())
    if lacking:
        raise ValueError(
            f"expected weights for all of the model at {path}, got none that fit for {len(lacking)}, such as "
            f"{lacking[0]}; the files are incomplete or of another model"
        )


def _placed(device_map: DeviceMap) -> dict[str, Any]:
    """What transformers is told of devices.

    Raises:
        ValueError: If the package that places modules is not installed.
    """
    if device_map is None:
        return {}
    if importlib.util.find_spec("accelerate") is None:
        raise ValueError(
            f"expected the package accelerate to be installed for device_map={device_map!r}, found none; run "
            "`pip install accelerate`, or leave device_map out"
        )
    return {"device_map": device_map}


def _check_in_memory(path: str | Path, model: Any) -> None:
    """Rows name a digest of the weights, which are not there to be read where accelerate lends them to a device."""
    lent = [name for name, value in model.named_parameters() if value.is_meta]
    if lent:
        raise ValueError(
            f"expected a device_map that keeps all weights of {path} on its devices, got one that leaves {len(lent)} "
            f"on the processor or the disk, such as {lent[0]}; use more devices or dtype bfloat16"
        )


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Transformers draws progress bars and logs what is told here by errors."""
    log = library.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()

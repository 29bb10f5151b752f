"""Classes made of settings without the values that hold them: `eps=0.1` for `threat_model=ThreatModel(eps=0.1)`."""

from __future__ import annotations

from typing import Any, TypeVar

from hrvlm.old_keys import nested, places_of

Kind = TypeVar("Kind")


def held(kind: type[Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as a configuration holds them."""
    return nested(settings, places_of(kind))[0]


def made(kind: type[Kind], **settings: Any) -> Kind:
    return kind(**held(kind, settings))

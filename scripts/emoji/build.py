"""Builds the packaged emoji data from pinned npm packages.

Usage (from the repository root; node is needed for this step only):

    npm install --prefix scripts/emoji
    pip install -e ".[build-data]"
    python scripts/emoji/build.py

Every emoji that at least `MINIMUM_ARTISTS` artists draw becomes a class. Each artist's pictures are rendered at 64 x
64 with transparency and stored as one WebP sheet (a grid of tiles), so that backgrounds can be chosen exactly at load
time.
"""

from __future__ import annotations

import argparse
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from PIL import Image

ARTISTS = ("twemoji", "noto", "openmoji", "fluent-emoji", "fluent-emoji-flat", "emojione")
MINIMUM_ARTISTS = 4
TILE = 64
COLUMNS = 40
HERE = Path(__file__).parent
PACK = HERE.parents[1] / "hrvlm" / "data" / "emoji_pack" / "files"


def slug(label: str) -> str:
    """The icon name that iconify derives from an emoji's label."""
    plain = label.lower().replace("’", "").replace("'", "").replace("&", "and")
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def read_json(path: Path) -> Any:
    """One JSON file of a source package."""
    if not path.is_file():
        raise SystemExit(f"expected the source file {path}; run `npm install --prefix {HERE}` first")
    return json.loads(path.read_text(encoding="utf-8"))


def icon_svg(icons: dict[str, Any], name: str) -> str | None:
    """The complete SVG document of an icon, following aliases; None where the artist has not drawn it."""
    alias = icons.get("aliases", {}).get(name)
    if alias is not None:
        if set(alias) - {"parent"}:
            return None  # a flipped or rotated alias is not the artist's own picture
        name = alias["parent"]
    icon = icons["icons"].get(name)
    if icon is None:
        return None
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {names} viewBox="{box}">{icon["body"]}</svg>'


def render(svg: str) -> np.ndarray:
    """An SVG as (TILE, TILE, 4) uint8 RGBA, centred, aspect kept."""
    data = resvg_py.svg_to_bytes(svg_string=svg, width=TILE * 2, height=TILE * 2)
    image = Image.open(io.BytesIO(bytes(data))).convert("RGBA")
    image.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    tile = Image.new("RGBA", (TILE, TILE))
    tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return np.asarray(tile)


def collect_classes(modules: Path, sets: dict[str, Any]) -> list[dict[str, Any]]:
    """All classes that enough artists draw, in Unicode order."""
    meta = read_json(modules / "emojibase-data/meta/groups.json")
    classes = []
    for emoji in sorted(read_json(modules / "emojibase-data/en/data.json"), key=lambda entry: entry.get("order", 1e9)):
        name = slug(emoji["label"])
        artists = [artist for artist in ARTISTS if icon_svg(sets[artist], name) is not None]
        if "group" not in emoji or len(artists) < MINIMUM_ARTISTS:
            continue
        classes.append(
            {
                "name": emoji["label"],
                "hexcode": emoji["hexcode"],
                "group": meta["groups"][str(emoji["group"])],
                "subgroup": meta["subgroups"][str(emoji["subgroup"])],
                "tags": emoji.get("tags", []),
                "artists": artists,
            }
        )
    return classes


def build_sheet(icons: dict[str, Any], artist: str, classes: list[dict[str, Any]]) -> Image.Image:
    """One artist's sheet; the tile of class k lies in row k // COLUMNS, column k % COLUMNS."""
    rows = -(-len(classes) // COLUMNS)
    sheet = np.zeros((rows * TILE, COLUMNS * TILE, 4), dtype=np.uint8)
    for k, entry in enumerate(classes):
        if artist in entry["artists"]:
            row, column = divmod(k, COLUMNS)
            svg = icon_svg(icons, slug(entry["name"]))
            assert svg is not None
            sheet[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = render(svg)
    return Image.fromarray(sheet)


def main() -> None:
    """Reads the npm packages and writes the pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", type=Path, default=HERE / "node_modules", help="folder of the npm packages")
    parser.add_argument("--output", type=Path, default=PACK, help="folder of the pack")
    parser.add_argument("--quality", type=int, default=75, help="WebP quality of colours, 0 to 100")
    arguments = parser.parse_args()
    sets = {artist: read_json(arguments.modules / f"@iconify-json/{artist}/icons.json") for artist in ARTISTS}
    infos = {artist: read_json(arguments.modules / f"@iconify-json/{artist}/info.json") for artist in ARTISTS}
    classes = collect_classes(arguments.modules, sets)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for artist in ARTISTS:
        sheet = build_sheet(sets[artist], artist, classes)
        path = arguments.output / f"{artist}.webp"
        sheet.save(path, quality=arguments.quality, alpha_quality=80, method=6)
        print(
            f"{artist}: {sum(artist in entry['artists'] for entry in classes)} pictures, {path.stat().st_size:,} bytes"
        )
    index = {
        "tile": TILE,
        "columns": COLUMNS,
        "versions": read_json(HERE / "package.json")["dependencies"],
        "artists": {
            artist: {
                "name": info["name"],
                "author": info["author"]["name"],
                "url": info["author"]["url"],
                "licence": info["license"]["spdx"],
                "licence_url": info["license"]["url"],
            }
            for artist, info in infos.items()
        },
        "classes": classes,
    }
    (arguments.output / "index.json").write_text(
        json.dumps(index, ensure_ascii=False, indent=0) + "\n", encoding="utf-8"
    )
    total = sum(path.stat().st_size for path in arguments.output.iterdir())
    print(f"{len(classes)} classes, {total / 1e6:.2f} MB in {arguments.output}")


if __name__ == "__main__":
    main()

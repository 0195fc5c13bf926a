# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The packages that emoji pictures, names and fonts come from, with their licences. None of their files is in this repository."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from recipes.packages import Package, unpack


CLDR = Package(
    "cldr-annotations-full",
    "48.2.0",
    "Unicode-3.0",
    "https://github.com/unicode-org/cldr-json",
    "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
)
NOTO = Package(
    "emoji-datasource-google",
    "16.0.0",
    "pictures of Noto Emoji: Apache-2.0; the package: MIT",
    "https://github.com/googlefonts/noto-emoji",
    "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
)
TWEMOJI = Package(
    "emoji-datasource-twitter",
    "16.0.0",
    "pictures of Twemoji: CC-BY-4.0; the package: MIT",
    "https://github.com/jdecked/twemoji",
    "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
)
FLAT = Package(
    "@lobehub/fluent-emoji-flat",
    "1.1.0",
    "pictures of Fluent Emoji: MIT",
    "https://github.com/microsoft/fluentui-emoji",
    "8f9113c027c7c20eced0070354715a4093a459b8bef6332b91d45f38c9bdb147",
)
SOLID = Package(
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    "pictures of Fluent Emoji: MIT",
    "https://github.com/microsoft/fluentui-emoji",
    "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
)
BLOB = Package(
    "@iconify-json/noto-v1",
    "1.2.5",
    "pictures of Noto Emoji before 2017: Apache-2.0",
    "https://github.com/googlefonts/noto-emoji",
    "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
)
# The styles in the order of their numbers. OpenMoji is left out because of its share-alike licence.
STYLES = {"noto": NOTO, "twemoji": TWEMOJI, "flat": FLAT, "solid": SOLID, "blob": BLOB}

DEJAVU = Package("fonts-dejavu-core", None, "Bitstream Vera", "https://dejavu-fonts.github.io")
COMIC = Package("fonts-comic-neue", None, "OFL-1.1", "http://comicneue.com")
SLAB = Package("fonts-roboto-slab", None, "Apache-2.0", "https://github.com/googlefonts/robotoslab")
INCONSOLATA = Package("fonts-inconsolata", None, "OFL-1.1", "https://levien.com/type/myfonts/inconsolata.html")
MICRO_HEI = Package("fonts-wqy-microhei", None, "Apache-2.0 or GPL-3.0 with font exception", "http://wenq.org")
SMILEY = Package("fonts-smiley-sans", None, "OFL-1.1", "https://github.com/atelier-anchor/smiley-sans")
KAI = Package("fonts-arphic-gkai00mp", None, "Arphic Public License", "https://www.freedesktop.org/wiki/Arphic")


@dataclass(frozen=True)
class Font:
    """A font file of a package, and the language whose characters it has beside digits."""

    name: str
    package: Package
    file: str
    language: str
    number: int = 0  # within a collection


FONTS = (
    Font("sans", DEJAVU, "DejaVuSans.ttf", "en"),
    Font("bold", DEJAVU, "DejaVuSans-Bold.ttf", "en"),
    Font("serif", DEJAVU, "DejaVuSerif.ttf", "en"),
    Font("slab", SLAB, "RobotoSlab-Bold.otf", "en"),
    Font("comic", COMIC, "ComicNeue-Bold.otf", "en"),
    Font("mono", INCONSOLATA, "Inconsolata.otf", "en"),
    Font("hei", MICRO_HEI, "wqy-microhei.ttc", "zh"),
    Font("slanted", SMILEY, "SmileySans-Oblique.ttf", "zh"),
    Font("kai", KAI, "gkai00mp.ttf", "zh"),
)
PACKAGES = (CLDR, *STYLES.values(), *dict.fromkeys(font.package for font in FONTS))


def style_reader(style: str, folder: Path) -> Callable[[str, str], Image.Image | None]:
    """A function of an emoji's code points, such as `1f34e` or `2764-fe0f`, and its English name, that gives its picture."""
    root = unpack(STYLES[style], folder) / "package"
    if style in ("noto", "twemoji"):
        name = {"noto": "google", "twemoji": "twitter"}[style]
        return lambda code, _: _open(root / f"img/{name}/64/{code}.png")
    if style == "solid":
        return lambda code, _: _open(root / f"assets/{code}.webp") or _open(root / f"assets/{_bare(code)}.webp")
    if style == "flat":
        return lambda code, _: _draw(root / f"assets/{code}.svg") or _draw(root / f"assets/{_bare(code)}.svg")
    icons = json.loads((root / "icons.json").read_text(encoding="utf-8"))
    return lambda _, name: _draw_icon(icons, "-".join(name.lower().replace("'", "").replace("-", " ").split()))


def _bare(code: str) -> str:
    """The code without the selector of the coloured form, which packages write or leave out."""
    return code.removesuffix("-fe0f")


def _open(path: Path) -> Image.Image | None:
    return Image.open(path).convert("RGBA") if path.exists() else None


def _draw(path: Path) -> Image.Image | None:
    return _rasterise(path.read_text(encoding="utf-8")) if path.exists() else None


def _draw_icon(icons: dict, name: str) -> Image.Image | None:
    icon = icons["icons"].get(icons["aliases"].get(name, {}).get("parent", name))
    if icon is None:
        return None
    size = f"0 0 {icon.get('width', icons['width'])} {icon.get('height', icons['height'])}"
    return _rasterise(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}">{icon["body"]}</svg>')


def _rasterise(svg: str) -> Image.Image:
    import resvg_py

    return Image.open(
        io.BytesIO(resvg_py.svg_to_bytes(svg_string=svg, width=192, height=192, skip_system_fonts=True))
    ).convert("RGBA")

# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""
Pictures for a model that sees: the samples of its checkpoint, those of visitors, and what the model sees of one.

The checkpoint brings its samples in the folder `samples`: the files, and `samples.json`, which says what can be asked about
them. All texts are in English, or have a `gloss` in English.

```json
{
  "note": "A sentence or two: what the model knows.",
  "styles": [
    {"label": "answer only", "ending": " /no_think", "max_new_tokens": 24},
    {"label": "reasoning first", "ending": " /think", "max_new_tokens": 96}
  ],
  "questions": [{"prompt": "What is in the picture?"}, {"prompt": "图里有什么？", "gloss": "What is in the picture?"}],
  "pictures": [
    {
      "file": "fruit.png",
      "label": "three apples and a pear",
      "questions": [{"prompt": "How many apples are there?", "answer": "3", "style": "answer only"}]
    }
  ]
}
```

`questions` at the top are for any picture, and those of a picture come before them. `styles` are ways to answer: what is put
behind the question, and how many tokens the answer may have; the first one is chosen at first. `note`, `styles`, `gloss`,
`answer` and the `style` of a question may be left out.
"""

import base64
import html
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps
from transformers.models.llava_onevision.modeling_llava_onevision import get_anyres_image_grid_shape

from modeling_llada.models.image_reading_llada_v import read_image

from .prompts import check_text


MAX_FILE = "8mb"  # of an upload
MAX_PIXELS = 25_000_000  # of an upload: those of a phone have 12 million
TOO_LARGE = f"a picture may have at most {MAX_PIXELS // 10**6} million pixels here: make it smaller."
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_SIDE = 720  # of a picture on the page
THUMBNAIL = 96


@dataclass(frozen=True)
class Style:
    """A way to answer. Without a length, an answer has that of the checkpoint."""

    label: str
    ending: str = ""
    max_new_tokens: int | None = None


@dataclass(frozen=True)
class Sample:
    """A picture of the checkpoint, with the questions that the page offers for it."""

    name: str
    label: str
    path: Path
    questions: list[dict]

    def answer(self, question: str) -> str:
        """The expected answer to a question, `""` if it is not known."""
        return next((one.get("answer", "") for one in self.questions if one["prompt"] == question), "")


@dataclass(frozen=True)
class Samples:
    """What a checkpoint brings for the page."""

    note: str
    styles: dict[str, Style]
    questions: list[dict]
    pictures: dict[str, Sample]

    @classmethod
    def load(cls, checkpoint: Path) -> "Samples":
        """Reads the samples of a checkpoint."""
        folder = checkpoint / "samples"
        values = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
        general = values["questions"]
        pictures = [
            Sample(Path(one["file"]).stem, one["label"], folder / one["file"], [*one.get("questions", []), *general])
            for one in values["pictures"]
        ]
        styles = [Style(**one) for one in values.get("styles", [])] or [Style("")]
        return cls(
            values.get("note", ""),
            {style.label: style for style in styles},
            general,
            {picture.name: picture for picture in pictures},
        )

    def find(self, name: str) -> Sample:
        """The sample of a name. Raises a `ValueError` if there is none."""
        if not isinstance(name, str) or name not in self.pictures:
            raise ValueError(f"there is no sample picture {str(name)[:80]!r}: choose one, or drop your own.")
        return self.pictures[name]

    def questions_of(self, name: str) -> list[dict]:
        """The questions that the page offers for a picture; `""` is one of a visitor."""
        return self.pictures[name].questions if name in self.pictures else self.questions

    @property
    def glosses(self) -> list[dict]:
        """All questions, for their translations."""
        return [one for each in self.pictures.values() for one in each.questions] + self.questions


class Refusal(ValueError):
    """A picture that can be read, but must not be."""


def read_upload(path: str) -> Image.Image:
    """Reads the picture of a visitor as RGB. Raises a `ValueError` if it is damaged, too large, or animated."""
    if not Path(path).is_file():
        raise ValueError("this picture is no longer kept here: drop it again.")
    try:
        with Image.open(path, formats=FORMATS) as opened:
            refuse_unsuitable(opened)
            return read_image(opened)
    except Refusal:
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(TOO_LARGE) from error
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise ValueError(
            "this file cannot be read as a picture: drop a PNG, JPEG, WebP, GIF, BMP or TIFF that is not damaged."
        ) from error


def refuse_unsuitable(opened: Image.Image) -> None:
    """Raises a `Refusal` for a picture that is too large or animated. Only its header has been read so far."""
    if opened.width * opened.height > MAX_PIXELS:
        raise Refusal(f"{TOO_LARGE} This one has {opened.width} × {opened.height}.")
    # The other pictures of an MPO file, which some phones write, are previews.
    frames = 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)
    if frames > 1:
        raise Refusal(f"this picture is animated, and the model sees one picture: drop one of its {frames} frames.")


def encode_question(picture: Image.Image, question: str, style: Style, processor) -> dict:
    """The inputs of `generate` for a question about a picture."""
    question = check_text("the question", question).strip()
    if not question:
        raise ValueError("there is no question: type one.")
    content = [{"type": "image", "image": picture}, {"type": "text", "text": question + style.ending}]
    return processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        sanitize_control_tokens=True,  # `<image>` in a question is no image
    )


def find_template(ids: tuple[int, ...], processor) -> list[tuple[int, int]]:
    """
    The ranges of a prompt that the chat template wrote: all before the picture, and what is between the question and the
    answer but for the last token, a line break.
    """
    turn = [{"role": "user", "content": "x"}]
    turn_alone, with_header = (
        processor.apply_chat_template(turn, add_generation_prompt=more) for more in (False, True)
    )
    header = processor.tokenizer(with_header.removeprefix(turn_alone), add_special_tokens=False)["input_ids"]
    behind_question = len(ids) - len(header) - 1  # the token that ends a turn
    return [(0, ids.index(processor.image_token_id)), (behind_question, len(ids) - 1)]


@dataclass(frozen=True)
class Seen:
    """What a model sees of a picture: its size in pixels, the grid of tiles, and the number of image tokens."""

    width: int
    height: int
    rows: int
    columns: int
    tile_size: int
    num_tokens: int

    @property
    def lines(self) -> tuple[list[float], list[float]]:
        """Where the tiles meet: the x and the y of lines in pixels of the picture."""
        scale = min(self.columns * self.tile_size / self.width, self.rows * self.tile_size / self.height)

        def inside(count: int, length: int) -> list[float]:
            resized = min(math.ceil(length * scale), count * self.tile_size)
            margin = (count * self.tile_size - resized) // 2
            lines = [(number * self.tile_size - margin) / resized * length for number in range(1, count)]
            return [round(line, 1) for line in lines if 0 < line < length]

        return inside(self.columns, self.width), inside(self.rows, self.height)

    def describe(self) -> str:
        """The same in words."""
        tokens, size = f"{self.num_tokens} image tokens", f"{self.tile_size} × {self.tile_size}"
        whole = f"the whole picture squashed to {size} pixels"
        if self.rows * self.columns == 0:
            return f"{self.width} × {self.height} pixels. The model sees {whole}: {tokens}."
        grid = f"{self.rows} × {self.columns} tiles" if self.rows * self.columns > 1 else "one tile"
        return f"{self.width} × {self.height} pixels. The model sees {whole}, and {grid} of that size: {tokens}."


def look(picture: Image.Image, processor) -> Seen:
    """What a model sees of a picture, as its processor prepares it."""
    inputs = processor(text=processor.image_token, images=picture)
    tile_size = processor.image_processor.size["height"]
    rows = columns = 0
    if inputs["num_tiles"][0] > 1:
        pinpoints = processor.image_processor.image_grid_pinpoints
        rows, columns = get_anyres_image_grid_shape((picture.height, picture.width), pinpoints, tile_size)
    num_tokens = inputs["input_ids"][0].count(processor.image_token_id)
    return Seen(picture.width, picture.height, rows, columns, tile_size, num_tokens)


def draw_seen(picture: Image.Image, label: str, seen: Seen) -> str:
    """A picture as HTML, with thin lines where its tiles meet, and what the model sees of it below."""
    columns, rows = seen.lines
    path = "".join(f"M{x} 0V{seen.height}" for x in columns) + "".join(f"M0 {y}H{seen.width}" for y in rows)
    overlay = (
        f'<svg viewBox="0 0 {seen.width} {seen.height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="ll-tile-edge" d="{path}"/><path class="ll-tile-line" d="{path}"/></svg>'
    )
    return (
        f'<figure class="ll-picture"><div class="ll-seen">{as_img(picture, label, MAX_SIDE)}{overlay}</div>'
        f"<figcaption>{html.escape(seen.describe())}</figcaption></figure>"
    )


def as_img(picture: Image.Image, label: str, max_side: int) -> str:
    """An HTML element that holds a picture itself, with its longer side as given."""
    stream = io.BytesIO()
    ImageOps.contain(picture.convert("RGB"), (max_side, max_side)).save(stream, "WEBP", quality=88)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img src="data:image/webp;base64,{data}" alt="{html.escape(label)}">'

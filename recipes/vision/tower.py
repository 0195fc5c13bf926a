# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Trains the vision tower with SigLIP's sigmoid loss (https://huggingface.co/papers/2303.15343): pictures against names.

The projector and the token embedding of the language part are trained with it, in the place of a text encoder that would be thrown
away: a name is the sum of its tokens. So what the language part sees at the place of a thing is like the tokens of its name, by
which it can learn to find a thing. A picture is an emoji against its English and Chinese name, alone or among three others in the
corners of a tile, there with the words for the corner; or what a line of a sign says against its text. Pictures are kept on the
device as squares with transparency, and each use is another view: placed, turned, squashed, recoloured, blurred, on another
ground. So the processors of the machine are free, and the tower sees more than a million views a minute.
"""

import json
import math
import random
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from modeling_llada.models.modeling_llada_v import LLaDAVModel
from modeling_llada.writing import write_atomically
from recipes.vision import tasks
from recipes.vision.archive import Archive
from recipes.vision.draw import LANGUAGES, PLACES, Draw, held_out_style
from recipes.vision.optimizers import Muon, is_matrix_of_layer
from recipes.vision.papers import font_for


SIDE = 64  # pixels of a kept picture
PRINT = 20  # height of print in a kept picture, if the line is short
# The smallest and the largest side of a view in tiles; print has to stay legible.
SIZES = {"emoji": (0.35, 1.3), "corner": (0.7, 1.1), "line": (0.5, 1.1)}
# Those of a tile, as rows and columns of nine places. Each has a view of its own on the same ground.
CORNERS = tuple(product(*tasks.GRIDS[tasks.CORNERS][:2]))
# How words stand at the beginning of a text and within one, where a space before them makes the English ones other tokens.
FORMS = (("en", "{}"), ("en", " {}"), ("zh", "{}"))
COLUMN = {"en": 0, "zh": 2}


@dataclass
class TowerArguments:
    """
    How the tower is trained.

    Args:
        batch_size (`int`): views in a step.
        line_share (`float`): the part of them that are lines of signs.
        num_lines (`int`): the different lines.
        matrix_rate (`float`): the learning rate of the matrices of the layers, which Muon trains.
        learning_rate (`float`): that of all else, which AdamW trains.
        weight_decay, warmup_steps: of both, whose rates go to zero on a cosine.
        text_length (`int`): the longest name in tokens.
        log_every (`int`): steps between two lines of the log.
    """

    batch_size: int = 2048
    line_share: float = 0.4
    num_lines: int = 30_000
    matrix_rate: float = 3e-3
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_steps: int = 100
    text_length: int = 16
    log_every: int = 100

    def __post_init__(self) -> None:
        if (1 - self.line_share) * self.batch_size < 2 * len(CORNERS):
            raise ValueError(
                f"`tower.batch_size` must leave {2 * len(CORNERS)} views beside the lines, but got {self.batch_size} with "
                f"`line_share={self.line_share}`. Use a larger one."
            )


class Contrast(nn.Module):
    """
    The tower with the projector and the token embedding of the language part, and the scale and bias of the loss.

    A picture is the mean of what the language part will see at its image tokens, each with a weight of its own; a name is the mean
    of its tokens. The bias begins where the share of pairs among all is right. The paper has ten times as many texts; at its -10,
    embeddings would first have to agree with each other.
    """

    def __init__(self, model: LLaDAVModel, num_texts: int, filler: int):
        super().__init__()
        self.tower, self.projector = model.vision_tower, model.multi_modal_projector
        self.embed_tokens = model.embed_tokens
        self.get_tile_features = model.get_tile_features
        self.weigh = nn.Linear(model.config.hidden_size, 1)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-math.log(num_texts / len(FORMS))))  # each form of a name is a pair
        self.filler = filler

    def embed_pictures(self, features: torch.Tensor) -> torch.Tensor:
        """The features of pictures, `(number, num_features, hidden_size)`, as one vector each."""
        weights = self.weigh(features).float().softmax(1)
        return F.normalize((weights * features.float()).sum(1), dim=-1)

    def sum_tokens(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Texts, `(number, length)`, as the sums of the embeddings of their tokens, `(number, hidden_size)`."""
        return F.embedding_bag(input_ids, self.embed_tokens.weight, mode="sum", padding_idx=self.filler)

    @torch.no_grad()
    def match_size(self, pixels: torch.Tensor) -> None:
        """Makes the features of pictures as large as embeddings of tokens, beside which the layers will see them."""
        sizes = [
            one.float().pow(2).mean().sqrt() for one in (self.embed_tokens.weight, self.get_tile_features(pixels))
        ]
        for parameter in self.projector.linear_2.parameters():
            parameter.mul_(sizes[0] / sizes[1])

    def loss(self, pictures: torch.Tensor, texts: torch.Tensor, is_pair: torch.BoolTensor) -> torch.Tensor:
        """The sigmoid loss, summed: each picture and each text are a pair or not. The paper divides it by the pictures."""
        logits = self.log_scale.exp() * pictures @ F.normalize(texts, dim=-1).T + self.bias
        return -F.logsigmoid(torch.where(is_pair, logits, -logits)).sum()


class Kept:
    """
    Pictures on the device, `(number, 4, SIDE, SIDE)`: red, green, blue and opacity from 0 to 255.

    Attributes: `texts` (the text of each caption), `captions` (`(number, forms)`: those of each picture), and `is_held_out`.
    """

    def __init__(self, pictures: list[np.ndarray], captions: list[tuple[int, ...]], texts: list[str], device):
        self.pictures = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous().to(device)
        self.captions = torch.tensor(captions, device=device)
        self.texts = texts


def keep_emoji(archive: Archive, device: torch.device) -> tuple[Kept, Kept]:
    """The emoji in the styles that training sees, and in the held-out style. They share the captions."""
    texts = [form.format(one.name(language)) for one in archive.emoji for language, form in FORMS]
    parts: dict[bool, tuple[list, list]] = {True: ([], []), False: ([], [])}
    for number, styles in enumerate(archive.styles_of):
        for style in styles:
            pictures, captions = parts[style == held_out_style(archive, number)]
            picture = archive.picture(number, style).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            pictures.append(np.asarray(picture))
            captions.append(tuple(range(len(FORMS) * number, len(FORMS) * (number + 1))))
    return Kept(*parts[False], texts, device), Kept(*parts[True], texts, device)


def keep_lines(archive: Archive, count: int, device: torch.device, seed: int, tile: int) -> Kept:
    """What lines of signs of the training split and heads of tables say, white on nothing, as large as fits."""
    rng = random.Random(f"lines {seed}")
    pictures, captions, known = [], [], {}
    for _ in range(count):
        draw = Draw(archive, "train", rng.choice(LANGUAGES), rng, tile)
        text = tasks.sign_line(draw) if rng.random() < 0.6 else tasks.short_names(draw, 1)[0]
        name = font_for(draw, text, rng.randrange(tasks.NUM_FONTS))
        width = archive.font(name, PRINT).getlength(text)
        font = archive.font(name, max(6, min(PRINT, int(PRINT * SIDE / max(width, 1)))))
        canvas = Image.new("L", (SIDE, SIDE))
        ImageDraw.Draw(canvas).text((SIDE / 2, SIDE / 2), text, 255, font, anchor="mm")
        white = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
        pictures.append(np.concatenate([white, np.asarray(canvas)[..., None]], axis=-1))
        number = known.setdefault(text, len(known))
        captions.append((2 * number, 2 * number + 1))
    # At the beginning of a text and within one.
    texts = [form for text in known for form in (text, f" {text}" if text.isascii() else text)]
    return Kept(pictures, captions, texts, device)


def join_corners(views: torch.Tensor) -> torch.Tensor:
    """Four views each, of half the side, as one tile: `(4 * number, 3, side, side)` -> `(number, 3, 2 * side, 2 * side)`."""
    side = views.shape[-1]
    grid = views.view(-1, 2, 2, 3, side, side)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, 3, 2 * side, 2 * side)


def split_corners(features: torch.Tensor) -> torch.Tensor:
    """The features of the corners of tiles, `(number, side * side, width)` -> `(4 * number, side * side / 4, width)`."""
    number, count, width = features.shape
    half = math.isqrt(count) // 2
    grid = features.view(number, 2, half, 2, half, width)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(4 * number, half * half, width)


def draw_views(
    pictures: torch.Tensor,
    sizes: tuple[float, float],
    tile: int,
    generator: torch.Generator,
    is_ink: bool = False,
    on_ground: int = 1,
) -> torch.Tensor:
    """
    Random views of kept pictures, `(number, 4, SIDE, SIDE)` -> `(number, 3, tile, tile)` from -1 to 1.

    Args:
        sizes (`tuple[float, float]`): the smallest and largest side in tiles. What is larger than a tile is cut.
        is_ink (`bool`): whether the pictures are print, whose colour is drawn.
        on_ground (`int`): so many views after each other have the same ground.
    """
    count, device = len(pictures), pictures.device

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator, device=device)

    kept = pictures.float() / 255
    colour, opacity = kept[:, :3], kept[:, 3:]
    side = torch.exp(uniform(math.log(sizes[0]), math.log(sizes[1])))
    squash = torch.exp(uniform(-0.5, 0.5) * uniform(0, 1)) if not is_ink else torch.exp(uniform(-0.15, 0.15))
    across, down = (side * squash).clamp(max=1.6), (side / squash).clamp(max=1.6)
    turn = uniform(-0.25, 0.25) * (uniform(0, 1) < 0.5) * (0.3 if is_ink else 1.0)
    room = (1 - side).abs() + 0.1
    x, y = uniform(-1, 1) * room, uniform(-1, 1) * room
    if is_ink:  # the print is a band: it may move further up and down
        y = uniform(-0.6, 0.6)
    cos, sin = turn.cos(), turn.sin()
    # From places of the view to places of the picture.
    matrix = torch.stack(
        [
            torch.stack([cos / across, sin / across, -(cos * x + sin * y) / across], -1),
            torch.stack([-sin / down, cos / down, -(-sin * x + cos * y) / down], -1),
        ],
        1,
    )
    grid = F.affine_grid(matrix, (count, 1, 2 * tile, 2 * tile), align_corners=False)
    moved = F.grid_sample(torch.cat([colour * opacity, opacity], 1), grid, align_corners=False)
    moved = F.avg_pool2d(moved, 2)
    colour, opacity = moved[:, :3], moved[:, 3:]

    ground = uniform(0, 1, 3, 1, 1)[::on_ground].repeat_interleave(on_ground, 0)
    if is_ink:
        ink = uniform(0, 1, 3, 1, 1)
        light = torch.tensor([0.3, 0.59, 0.11], device=device)[:, None, None]
        # Ink that is too near to its ground goes to the far end of the scale.
        is_near = ((ink - ground) * light).sum(1, keepdim=True).abs() < 0.35
        ink = torch.where(is_near, ((ground * light).sum(1, keepdim=True) < 0.5).float().expand_as(ink), ink)
        colour = ink * opacity
    shade = uniform(-0.08, 0.08, 3, 2, 2)
    ground = (ground + F.interpolate(shade, size=(tile, tile), mode="bilinear")).clamp(0, 1)
    view = colour + (1 - opacity) * ground
    # Light, contrast, saturation and tint, each a little other: styles differ in these.
    grey = view.mean(1, keepdim=True)
    view = grey + (view - grey) * uniform(0.6, 1.4, 1, 1, 1)
    middle = view.mean((1, 2, 3), keepdim=True)
    view = middle + (view - middle) * uniform(0.75, 1.25, 1, 1, 1) + uniform(-0.08, 0.08, 3, 1, 1)
    blurred = F.avg_pool2d(view, 3, stride=1, padding=1, count_include_pad=False)
    view = torch.lerp(view, blurred, uniform(0, 1, 1, 1, 1) * (uniform(0, 1, 1, 1, 1) < 0.3))
    view = view + 0.02 * torch.randn(view.shape, generator=generator, device=device)
    return 2 * view.clamp(0, 1) - 1


class TowerTraining:
    """
    The contrastive training of a tower.

    Args:
        model (`LLaDAVModel`): its tower, projector and token embedding are trained in place.
        tokenizer (`PreTrainedTokenizerBase`): tokenizes the names.
        archive (`Archive`): the pictures.
        args (`TowerArguments`): how.
        seed (`int`): of the views.
    """

    def __init__(
        self,
        model: LLaDAVModel,
        tokenizer: PreTrainedTokenizerBase,
        archive: Archive,
        args: TowerArguments,
        seed: int,
        device: torch.device,
    ):
        self.args, self.device, self.tile = args, device, model.config.vision_config.image_size
        torch.manual_seed(seed)
        num_texts = len(FORMS) * len(archive.emoji) + round(args.line_share * args.batch_size)
        self.contrast = Contrast(model, num_texts, tokenizer.pad_token_id).to(device)
        self.seen, self.held_out = keep_emoji(archive, device)
        self.lines = keep_lines(archive, args.num_lines, device, seed, self.tile)
        self.names, self.line_texts = (self._tokenize(tokenizer, kept.texts) for kept in (self.seen, self.lines))
        corners = [(PLACES[language][3 * row + column], form) for row, column in CORNERS for language, form in FORMS]
        self.corners = self._tokenize(tokenizer, [form.format(place) for place, form in corners])
        self.generator = torch.Generator(device).manual_seed(seed)
        self.optimizers = self._make_optimizers()
        self.step, self.log = 0, []

    def _make_optimizers(self) -> list[tuple[float, torch.optim.Optimizer]]:
        """The optimizers with their learning rates."""
        args, named = self.args, list(self.contrast.named_parameters())
        matrices = [one for name, one in named if is_matrix_of_layer(name, one)]
        others = [one for name, one in named if not is_matrix_of_layer(name, one)]
        muon = Muon(matrices, lr=args.matrix_rate, weight_decay=args.weight_decay)
        adamw = torch.optim.AdamW(others, lr=args.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
        return [(args.matrix_rate, muon), (args.learning_rate, adamw)]

    def _tokenize(self, tokenizer, texts: list[str]) -> torch.Tensor:
        length = self.args.text_length
        rows = [tokenizer(text, add_special_tokens=False).input_ids[:length] for text in texts]
        rows = [row + [tokenizer.pad_token_id] * (length - len(row)) for row in rows]
        return torch.tensor(rows, device=self.device)

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def train_step(self, progress: float) -> torch.Tensor:
        """One step, whose learning rate follows the part of the training that is done. Returns the loss."""
        args, generator = self.args, self.generator
        factor = min(1, (self.step + 1) / args.warmup_steps) * 0.5 * (1 + math.cos(math.pi * progress))
        for rate, optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        num_lines = round(args.line_share * args.batch_size)
        num_emoji = args.batch_size - num_lines
        num_alone = num_emoji - num_emoji // 2 // len(CORNERS) * len(CORNERS)  # half of them share a tile
        emoji, lines = (
            torch.randint(len(kept.pictures), (count,), generator=generator, device=self.device)
            for kept, count in ((self.seen, num_emoji), (self.lines, num_lines))
        )
        form = torch.randint(2, (num_lines, 1), generator=generator, device=self.device)
        line = self.lines.captions[lines].gather(1, form).squeeze(1)
        # All names are texts of each step, and all of them at each corner; of the lines those of the step.
        is_name = self._is_name(self.seen.captions[emoji])
        is_name_of_alone, is_name_at_corner = is_name[:num_alone], self._at_corners(is_name[num_alone:])
        with self.autocast():
            alone, corners, ink = self._embed_views(self.seen.pictures[emoji], num_alone, self.lines.pictures[lines])
            names, line_texts, corners_in_words = (
                self.contrast.sum_tokens(texts) for texts in (self.names, self.line_texts[line], self.corners)
            )
        names_at_corners = self._at_corners_in_words(names, corners_in_words)
        is_pair = torch.block_diag(is_name_of_alone, line // 2 == line[:, None] // 2)
        loss = self.contrast.loss(torch.cat([alone, ink]), torch.cat([names, line_texts]), is_pair)
        loss = (loss + self.contrast.loss(corners, names_at_corners, is_name_at_corner)) / args.batch_size
        self.contrast.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.contrast.parameters(), 1.0)
        for _, optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        return loss.detach()

    def _is_name(self, captions: torch.Tensor) -> torch.BoolTensor:
        """Whether a name is that of a picture, `(pictures, names)`."""
        is_name = torch.zeros(len(captions), len(self.names), dtype=torch.bool, device=self.device)
        return is_name.scatter_(1, captions, True)

    def _at_corners(self, is_name: torch.BoolTensor) -> torch.BoolTensor:
        """The same for names at corners, where views go through the corners in order: `(views, corners * names)`."""
        is_at = torch.eye(len(CORNERS), dtype=torch.bool, device=self.device).repeat(len(is_name) // len(CORNERS), 1)
        return (is_at.unsqueeze(-1) & is_name.unsqueeze(1)).flatten(1)

    def _at_corners_in_words(self, names: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        """All names with the words for each corner in the same form, as sums: `(corners * names, hidden_size)`."""
        corners = corners.view(len(CORNERS), len(FORMS), -1).repeat(1, len(names) // len(FORMS), 1)
        return (corners + names).flatten(0, 1)

    def _embed_views(
        self, emoji: torch.Tensor, num_alone: int, lines: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The vectors of views of emoji, the first ones alone and the others in corners, and of lines."""
        alone = draw_views(emoji[:num_alone], SIZES["emoji"], self.tile, self.generator)
        corners = draw_views(
            emoji[num_alone:], SIZES["corner"], self.tile // 2, self.generator, on_ground=len(CORNERS)
        )
        ink = draw_views(lines, SIZES["line"], self.tile, self.generator, is_ink=True)
        tiles = [alone, join_corners(corners), ink]
        alone, corners, ink = self.contrast.get_tile_features(torch.cat(tiles)).split([len(one) for one in tiles])
        return tuple(self.contrast.embed_pictures(one) for one in (alone, split_corners(corners), ink))

    @torch.no_grad()
    def accuracy(self, kept: Kept, limit: int = 2048) -> dict[str, float]:
        """How often the nearest of all names in a language is that of the picture, in the middle of a grey tile."""
        self.contrast.eval()
        views, result = self._on_grey(kept.pictures[:limit]), {}
        with self.autocast():
            features = torch.cat(
                [self.contrast.embed_pictures(self.contrast.get_tile_features(part)) for part in views.split(512)]
            )
            texts = F.normalize(self.contrast.sum_tokens(self.names), dim=-1)
        for language in LANGUAGES:
            column = COLUMN[language]
            nearest = (features @ texts[column :: len(FORMS)].T).argmax(-1)
            result[language] = (nearest == kept.captions[:limit, column] // len(FORMS)).float().mean().item()
        self.contrast.train()
        return result

    def _on_grey(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures as tiles, on grey."""
        kept = pictures.float() / 255
        return 2 * F.interpolate(kept[:, :3] * kept[:, 3:] + 0.5 * (1 - kept[:, 3:]), (self.tile,) * 2) - 1

    def train(self, minutes: float | None, steps: int | None, folder: Path) -> list[dict]:
        """Trains for so many minutes or steps, prints and returns the log. A checkpoint in the folder is gone on with."""
        spent = self._resume(folder)
        began, saved = time.monotonic(), time.monotonic()
        self.contrast.train()
        while True:
            seconds = spent + time.monotonic() - began
            progress = self.step / steps if minutes is None else seconds / (60 * minutes)
            if progress >= 1:
                break
            loss = self.train_step(progress)
            if self.step % self.args.log_every == 0:
                self._note(loss, seconds)
            if time.monotonic() - saved > 60:
                self.save(folder, seconds)
                saved = time.monotonic()
        self._note(loss, seconds)
        self.contrast.match_size(self._on_grey(self.seen.pictures[:512]))
        return self.log

    def _note(self, loss: torch.Tensor, seconds: float) -> None:
        entry = {
            "stage": "tower",
            "step": self.step,
            "minutes": round(seconds / 60, 3),
            "loss": round(loss.item(), 4),
            "held_out": {key: round(value, 4) for key, value in self.accuracy(self.held_out).items()},
            "views_per_second": round(self.step * self.args.batch_size / max(seconds, 1e-9)),
        }
        self.log.append(entry)
        print(json.dumps(entry), flush=True)

    def save(self, folder: Path, seconds: float) -> None:
        """Writes the checkpoint, or leaves the old one."""
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / "checkpoint.partial"
        optimizers = [optimizer.state_dict() for _, optimizer in self.optimizers]
        state = {"contrast": self.contrast.state_dict(), "optimizers": optimizers}
        torch.save(state | {"generator": self.generator.get_state(), "step": self.step, "seconds": seconds}, partial)
        partial.replace(folder / "checkpoint.pt")
        write_atomically(folder / "log.json", json.dumps(self.log))

    def _resume(self, folder: Path) -> float:
        """Loads the checkpoint, if there is one, and returns the seconds that are spent."""
        if not (folder / "checkpoint.pt").is_file():
            return 0.0
        state = torch.load(folder / "checkpoint.pt", map_location=self.device, weights_only=True)
        self.contrast.load_state_dict(state["contrast"])
        for (_, optimizer), saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.generator.set_state(state["generator"].cpu())
        self.step = state["step"]
        self.log = json.loads((folder / "log.json").read_text(encoding="utf-8"))
        return state["seconds"]

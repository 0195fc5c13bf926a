# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The models that the Space may load: an allow-list, with the limits of each model."""

import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from modeling_llada.loading import load_processor, load_with_processor, tokenizer_of
from modeling_llada.prompt_fields import PromptFields, find_base, read_json


HERE = Path(__file__).resolve().parent.parent
SUDOKU = "llada-sudoku"
VISION = "llada-v-tiny"
# These have a tab of their own, if the file is there, and no other tab offers them.
OWN_TABS = {SUDOKU: "config.json", VISION: "samples/samples.json"}
OFFICIAL = ("GSAI-ML/LLaDA-8B-Instruct", "GSAI-ML/LLaDA-1.5", "GSAI-ML/LLaDA-8B-Base")
SMALL_BYTES = 200e6


@dataclass(frozen=True)
class ModelCard:
    """A model of the allow-list, and its limits."""

    name: str  # on the page
    source: str  # a folder or a Hub id
    max_prompt_tokens: int = 768
    max_new_tokens: int = 512
    new_tokens: int = 64  # at first
    block_length: int = 32  # of the semi-autoregressive preset
    fast_block_length: int = 32  # of the fast preset; 0: one block
    fast_refresh: int = 0  # steps between cache refreshes in the fast preset; 0: one refresh a block
    is_small: bool = False  # a small model stays in memory beside others
    is_listed: bool = True  # in the field of the page; not a model that has a tab of its own
    prompt: PromptFields = field(default_factory=PromptFields)
    base: str | None = None  # the name of the model below an adapter
    chats_by: str | None = None  # the name of the adapter that answers chats instead of this model


def longest_canvas(source: str | Path) -> int:
    """The longest text of a checkpoint, as far as its config is at hand."""
    config = read_json(source, "config.json", download=False)
    return config.get("max_sequence_length") or config.get("max_position_embeddings") or ModelCard.max_prompt_tokens


def small_card(folder: Path) -> ModelCard:
    """The card of a small checkpoint with prompt fields. It was trained on whole texts, and small blocks spoil those."""
    longest = min(256, longest_canvas(find_base(folder) or folder))
    card = ModelCard(
        folder.name,
        str(folder),
        longest,
        longest,
        block_length=12,
        fast_block_length=0,
        fast_refresh=2,
        is_small=True,
        prompt=PromptFields.load(folder),
    )
    base = find_base(folder)
    if base is None:
        return card
    options = read_json(folder, "generation_config.json", download=False)  # an adapter may be saved without one
    return replace(card, base=Path(base).name, new_tokens=options.get("max_new_tokens", card.new_tokens))


def is_small_with_fields(folder: Path) -> bool:
    """Whether a folder holds a small checkpoint, or an adapter of one, that declares prompt fields."""
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")] if folder.is_dir() else []
    return 0 < sum(sizes) < SMALL_BYTES and bool(PromptFields.load(folder).fields)


def find_shipped() -> list[Path]:
    """The small checkpoints beside app.py, or in the clone around this folder: whole checkpoints, and then adapters."""
    for folder in (HERE / "checkpoints", HERE.parent / "checkpoints"):
        paths = [
            path.parent for kind in ("config.json", "adapter_config.json") for path in sorted(folder.glob(f"*/{kind}"))
        ]
        if found := [path for path in paths if is_small_with_fields(path)]:
            return found
    return []


def find_own(name: str) -> Path | None:
    """A checkpoint that has a tab of its own, beside app.py or in the clone around this folder. It may be missing."""
    folders = [folder / "checkpoints" / name for folder in (HERE, HERE.parent)]
    return next((folder for folder in folders if (folder / OWN_TABS[name]).is_file()), None)


def allowed_models(named: str | None, has_accelerator: bool) -> list[ModelCard]:
    """
    Makes the allow-list. The model that `LLADA_MODEL` names, a folder or a Hub id, comes first. The official
    checkpoints are on the list if there is an accelerator for their 16 GB.
    """
    cards = [small_card(folder) for folder in find_shipped()]
    if has_accelerator:
        cards += [ModelCard(name, name) for name in OFFICIAL]
    for name in OWN_TABS:
        if (folder := find_own(name)) and not (named and Path(named).name == name):
            cards.append(ModelCard(name, str(folder), is_small=True, is_listed=False))
    if named:
        cards = [card_of(named), *(card for card in cards if named not in (card.name, card.source))]
    if not any(card.is_listed for card in cards):
        raise ValueError("there is no checkpoint beside app.py: name one in the environment variable LLADA_MODEL.")
    adapters = {card.base: card.name for card in cards if card.base}
    return [replace(card, chats_by=adapters.get(card.name)) for card in cards]


def card_of(named: str) -> ModelCard:
    """The card of the model that `LLADA_MODEL` names. A shipped checkpoint may be named without its path."""
    for folder in find_shipped():
        if named in (folder.name, str(folder)):
            return small_card(folder)
    if named in OWN_TABS:
        named = str(find_own(named) or named)
    folder = Path(named).expanduser()
    if is_small_with_fields(folder):
        return small_card(folder.resolve())
    longest = longest_canvas(named)
    return ModelCard(
        folder.name if folder.is_dir() else named,
        named,
        min(ModelCard.max_prompt_tokens, longest),
        min(ModelCard.max_new_tokens, longest),
        prompt=PromptFields.load(named),
    )


class Models:
    """Loads the models of the allow-list and keeps them: all small ones, and the last large one."""

    def __init__(self, cards: list[ModelCard], device: str | None = None) -> None:
        self.cards = {card.name: card for card in cards}
        self.device = device
        self._loaded: dict[str, tuple] = {}
        self._tokenizers: dict[str, object] = {}  # of all models that were loaded, for kept runs
        self._processors: dict[str, object] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """The models that the page offers."""
        return [card.name for card in self.cards.values() if card.is_listed]

    @property
    def longest(self) -> int:
        """The longest completion of any model that the page offers."""
        return max(self.cards[name].max_new_tokens for name in self.names)

    def card(self, name: str) -> ModelCard:
        """The card of a model. Raises a `ValueError` if the model is not on the list."""
        if not isinstance(name, str) or name not in self.cards:
            raise ValueError(f"the model must be one of {', '.join(self.names)}, but got {str(name)[:80]!r}.")
        return self.cards[name]

    def chat_card(self, name: str) -> ModelCard:
        """The card of the model that answers chats: the chosen one, or its adapter."""
        card = self.card(name)
        return self.card(card.chats_by) if card.chats_by else card

    def load(self, name: str) -> tuple:
        """
        The model of that name and its tokenizer. Raises a `ValueError` if the model is not on the list, or cannot be
        loaded.
        """
        card = self.card(name)
        if loaded := self._loaded.get(name):  # without the lock, which is held while another model is read
            return loaded
        with self._lock:
            if name not in self._loaded:
                if not card.is_small:
                    self._loaded = {key: value for key, value in self._loaded.items() if self.cards[key].is_small}
                model, processor = load_with_processor(card.source, self.device)
                self._loaded[name] = model, tokenizer_of(processor)
                self._tokenizers[name] = tokenizer_of(processor)
            return self._loaded[name]

    def tokenizer(self, name: str):
        """The tokenizer of a model that has run, even if the model is no longer loaded."""
        return self._tokenizers[name] if name in self._tokenizers else self.load(name)[1]

    def processor(self, name: str):
        """The processor of a model that sees pictures. It is read without the weights."""
        source = self.card(name).source
        with self._lock:
            if name not in self._processors:
                self._processors[name] = load_processor(source)
            return self._processors[name]


def open_models() -> Models:
    """
    Opens the models of this process. The first model is loaded and warmed up, and the model of its chats is loaded, so that
    the first click does not wait. On ZeroGPU all models are loaded, because they must be on the GPU when the module is
    imported; the list is short there.
    """
    import torch

    on_zero_gpu = bool(os.environ.get("SPACES_ZERO_GPU"))
    has_accelerator = torch.accelerator.is_available() and not on_zero_gpu
    cards = allowed_models(os.environ.get("LLADA_MODEL"), has_accelerator)
    models = Models(cards, device="cuda" if on_zero_gpu else None)
    first, chat = models.names[0], models.chat_card(models.names[0]).name
    warm_up(*models.load(first))
    for name in models.cards if on_zero_gpu else (chat,):
        models.load(name)
    return models


def warm_up(model, tokenizer) -> None:
    """Makes two denoising steps, so that the first click does not wait for work that a process does once."""
    if model.device.type == "cpu":  # on ZeroGPU there is no other device yet
        model.generate(**tokenizer("。", return_tensors="pt"), max_new_tokens=2)

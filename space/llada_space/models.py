# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The models that the Space may load: an allow-list, with the limits of each."""

import json
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer

from llada_cli.poems import FORM_LENGTHS
from modeling_llada.loading import CheckpointError, load_checkpoint


HERE = Path(__file__).resolve().parent.parent
OFFICIAL = ("GSAI-ML/LLaDA-8B-Instruct", "GSAI-ML/LLaDA-1.5", "GSAI-ML/LLaDA-8B-Base")


@dataclass(frozen=True)
class ModelCard:
    """
    A model of the allow-list.

    Args:
        name (`str`):
            What the page calls it.
        source (`str`):
            A folder or a Hub id.
        max_prompt_tokens (`int`):
            The longest prompt.
        max_new_tokens (`int`):
            The longest canvas behind it.
        new_tokens (`int`):
            The length of the canvas at first.
        block_length (`int`):
            The blocks of the semi-autoregressive preset.
        fast_block_length, fast_refresh (`int`):
            Blocks and cache refresh of the fast preset; 0: one block, one refresh a block.
        writes_poems (`bool`):
            Whether prompts may have the header of a poem.
        base (`str`, *optional*):
            The name of the model that this one is an adapter of: it follows instructions, each by itself.
        chats_by (`str`, *optional*):
            The name of the model that answers chats in the place of this one.
    """

    name: str
    source: str
    max_prompt_tokens: int = 768
    max_new_tokens: int = 512
    new_tokens: int = 64
    block_length: int = 32
    fast_block_length: int = 32
    fast_refresh: int = 0
    writes_poems: bool = False
    base: str | None = None
    chats_by: str | None = None


def poem_card(folder: Path) -> ModelCard:
    """The card of a small checkpoint that writes poems. It was trained on whole poems, which small blocks spoil."""
    card = ModelCard(
        folder.name, str(folder), 256, 256, block_length=12, fast_block_length=0, fast_refresh=2, writes_poems=True
    )
    adapter = folder / "adapter_config.json"
    if not adapter.is_file():
        return card
    base = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
    options = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    return replace(card, base=Path(base).name, new_tokens=options["max_new_tokens"])


def find_shipped() -> list[Path]:
    """The poets beside app.py, or in the clone that holds this folder: whole checkpoints, and then adapters."""
    for folder in (HERE / "checkpoints", HERE.parent / "checkpoints"):
        kinds = ("*/config.json", "*/adapter_config.json")
        found = [path.parent for kind in kinds for path in sorted(folder.glob(kind)) if is_poet(path.parent)]
        if found:
            return found
    return []


def allowed_models(named: str | None, has_accelerator: bool) -> list[ModelCard]:
    """
    The allow-list. The official checkpoints are on it where there is an accelerator for their 16 GB.

    Args:
        named (`str`, *optional*):
            The value of `LLADA_MODEL`: a folder or a Hub id that whoever runs the Space wants to be the first.
        has_accelerator (`bool`):
            Whether there is one.

    Returns:
        `list[ModelCard]`: The first is the one to open with.

    Raises:
        `ValueError`: if the list is empty.
    """
    cards = [poem_card(folder) for folder in find_shipped()]
    if has_accelerator:
        cards += [ModelCard(name, name) for name in OFFICIAL]
    if named:
        cards = [card_of(named), *(card for card in cards if named not in (card.name, card.source))]
    if not cards:
        raise ValueError("there is no checkpoint beside app.py: name one in the environment variable LLADA_MODEL.")
    adapters = {card.base: card.name for card in cards if card.base}
    return [replace(card, chats_by=adapters.get(card.name)) for card in cards]


def card_of(named: str) -> ModelCard:
    """The card of the model that `LLADA_MODEL` names: that of a shipped checkpoint by its name, or a new one."""
    for folder in find_shipped():
        if named in (folder.name, str(folder)):
            return poem_card(folder)
    folder = Path(named).expanduser()
    return (
        poem_card(folder.resolve()) if is_poet(folder) else ModelCard(folder.name if folder.is_dir() else named, named)
    )


def is_poet(folder: Path) -> bool:
    """Whether it is a checkpoint of a few megabytes with a token for each character of a header, as poems have.

    An adapter may be saved without the tokenizer of its base: then it is one if the base is.
    """
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")] if folder.is_dir() else []
    if not 0 < sum(sizes) < 200e6:
        return False
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        adapter = folder / "adapter_config.json"
        base = (
            json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
            if adapter.is_file()
            else None
        )
        return base is not None and any(is_poet(place) for place in (Path(base), folder.parent / Path(base).name))
    vocabulary = Tokenizer.from_file(str(tokenizer)).get_vocab()
    return all(character in vocabulary for character in "《》" + "".join(FORM_LENGTHS))


class Models:
    """
    Loads the models of the allow-list, and keeps them: of the large ones the last one only.

    Args:
        cards (`list[ModelCard]`):
            The allow-list.
        device (`str`, *optional*):
            Where models go; by default to an accelerator if there is one.
    """

    def __init__(self, cards: list[ModelCard], device: str | None = None) -> None:
        self.cards = {card.name: card for card in cards}
        self.device = device
        self._loaded: dict[str, tuple] = {}
        self._tokenizers: dict[str, object] = {}  # of all that was loaded, for runs that are shown again
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        return list(self.cards)

    def card(self, name: str) -> ModelCard:
        """
        The card of a model.

        Raises:
            `ValueError`: if it is not on the list.
        """
        if not isinstance(name, str) or name not in self.cards:
            raise ValueError(f"the model must be one of {', '.join(self.cards)}, but got {str(name)[:80]!r}.")
        return self.cards[name]

    def chat_card(self, name: str) -> ModelCard:
        """
        The card of the model that answers chats when one is chosen: itself, or an adapter that follows instructions.

        Raises:
            `ValueError`: if it is not on the list.
        """
        card = self.card(name)
        return self.card(card.chats_by) if card.chats_by else card

    def load(self, name: str) -> tuple:
        """
        The model of that name and its tokenizer.

        Raises:
            `ValueError`: if it is not on the list, or cannot be loaded.
        """
        card = self.card(name)
        if loaded := self._loaded.get(name):  # nobody waits here while another model is read
            return loaded
        with self._lock:
            if name not in self._loaded:
                if not card.writes_poems:
                    self._loaded = {key: value for key, value in self._loaded.items() if self.cards[key].writes_poems}
                try:
                    self._loaded[name] = load_checkpoint(card.source, self.device, None)
                except CheckpointError as error:
                    raise ValueError(str(error).partition(" `--model` takes")[0]) from error
                self._tokenizers[name] = self._loaded[name][1]
            return self._loaded[name]

    def tokenizer(self, name: str):
        """The tokenizer of a model that has run, even if the model had to go since."""
        return self._tokenizers[name] if name in self._tokenizers else self.load(name)[1]


def open_models() -> Models:
    """
    The models of this process. The first one is loaded, and has run; that which answers its chats is loaded too, for it would
    take the processor from the first click. On ZeroGPU all are loaded, as what goes to a GPU has to be there when the module is
    imported, and so the list is short.
    """
    import torch

    on_zero_gpu = bool(os.environ.get("SPACES_ZERO_GPU"))
    has_accelerator = torch.accelerator.is_available() and not on_zero_gpu
    cards = allowed_models(os.environ.get("LLADA_MODEL"), has_accelerator)
    models = Models(cards, device="cuda" if on_zero_gpu else None)
    first, chat = models.names[0], models.chat_card(models.names[0]).name
    warm_up(*models.load(first))
    for name in models.names if on_zero_gpu else (chat,):
        models.load(name)
    return models


def warm_up(model, tokenizer) -> None:
    """Two steps, so that the first click does not wait for what happens once in a process."""
    if model.device.type == "cpu":  # there is no other device before the work begins on ZeroGPU
        model.generate(**tokenizer("。", return_tensors="pt"), max_new_tokens=2)

# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The prompt fields of a checkpoint, which it declares in `prompt_fields.json` beside its weights.

The command makes options of the fields, and the Space makes a form of them. An adapter inherits the fields of the checkpoint
below it. This module must not import torch, because `llada generate --help` reads the fields.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_origin

from . import reading


FILE_NAME = "prompt_fields.json"
ADAPTER_FILE = "adapter_config.json"
MASK = "[MASK]"  # users type this for a mask; the tokenizer may have another name for it


@dataclass(frozen=True)
class Choice:
    """One value of a field."""

    value: str  # the text in the prompt
    gloss: str = ""  # what it means, in English
    length: int | None = None  # the tokens of an answer, without EOS, if the value fixes them
    columns: int | None = None  # the cells in a row of a drawing

    def __post_init__(self) -> None:
        check_types(self)
        for name, number in (("length", self.length), ("columns", self.columns)):
            if number is not None and number < 1:
                raise ValueError(f"`{name}` must be positive, but got {number}")


@dataclass(frozen=True)
class PromptField:
    """One part of the header of a prompt."""

    name: str  # a Python identifier; the command has the option `--name`
    help: str  # what it is, in English
    label: str = ""  # in the Space; by default the capitalized name
    template: str = "{value}"  # the text in the header
    needs: str | None = None  # another field that must be given too
    choices: tuple[Choice, ...] = ()  # the allowed values; without choices any text is allowed

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(made_from("choices", self.choices, Choice)))
        check_types(self)
        if not self.name.isidentifier():
            raise ValueError(f"the `name` of a field must be a Python identifier, but got {self.name!r}")
        object.__setattr__(self, "label", self.label or self.name.capitalize())


def quoted(one: PromptField) -> str:
    """The name of a field in backticks."""
    return f"`{one.name}`"


@dataclass(frozen=True)
class PromptFields:
    """
    The prompt fields of a checkpoint, and what a line is in its texts.

    Args:
        fields (`tuple[PromptField, ...]`, *optional*):
            The parts of the header, in their order.
        header_end (`str`, *optional*, defaults to a line break):
            The text after a header.
        line_ends (`str`, *optional*, defaults to a line break):
            The characters that end a line. The first one is written where a line lacks its end.
        sentence_ends (`str`, *optional*, defaults to `""`):
            Those that also end a sentence. The first one is written at the end of a sentence.
        script (`str`, *optional*, defaults to `""`):
            How the Unicode names of the letters begin that the checkpoint knows, if it knows one script only.
        examples (`dict[str, list[dict]]`, *optional*):
            Prompts to try, by task: `"complete"`, `"infill"`, `"reverse"` and `"chat"`. Each has a `prompt`, values of
            fields, and a `gloss` in English.
        notes (`dict[str, str]`, *optional*):
            Sentences in English for users: `"unknown_characters"` for prompts that the tokenizer does not know,
            `"other_script"` for prompts in another script, and `"chat"`, `"message"` and `"system"` for a chat, its
            messages and its system message.

    Example:

    ```python
    >>> from modeling_llada.prompt_fields import PromptFields

    >>> fields = PromptFields.load("checkpoints/llada-poet")
    >>> fields.header({"form": "五言绝句", "title": "静夜思", "author": "李白"})
    '五言绝句《静夜思》李白\\n'
    >>> fields.line_before("疑是地上霜。", masks="░░░░░")
    '░░░░░，疑是地上霜。'
    ```
    """

    fields: tuple[PromptField, ...] = ()
    header_end: str = "\n"
    line_ends: str = "\n"
    sentence_ends: str = ""
    script: str = ""
    examples: Mapping[str, list[dict]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", tuple(made_from("fields", self.fields, PromptField)))
        check_types(self)
        declared = {one.name for one in self.fields}
        for one in self.fields:
            if one.needs and one.needs not in declared:
                raise ValueError(f"`{one.name}` needs `{one.needs}`, which is no field")
        if not self.line_ends:
            raise ValueError("`line_ends` must have at least one character")
        for task, examples in self.examples.items():
            for example in check_list(f"examples[{task!r}]", examples):
                if not isinstance(example, dict) or not all(isinstance(text, str) for text in ("", *example.values())):
                    raise ValueError(f"`examples[{task!r}]` must hold objects of texts, but got {example!r}")
        for name, note in self.notes.items():
            if not isinstance(note, str):
                raise ValueError(f"`notes[{name!r}]` must be a text, but got {note!r}")

    @classmethod
    def load(cls, checkpoint: str | Path, download: bool = True) -> "PromptFields":
        """
        Reads what a checkpoint declares. Without a file there are no fields, and lines end with line breaks.

        Args:
            checkpoint (`str` or `Path`):
                A folder or a Hub id.
            download (`bool`, *optional*, defaults to `True`):
                Whether a file that is not in the cache of the Hub is downloaded.

        Raises:
            `ValueError`: if the file is damaged.
        """
        try:
            return cls(**read_fields(checkpoint, download))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{FILE_NAME} of {str(checkpoint)!r} cannot be used: {error}.") from error

    def header(self, values: Mapping[str, str | None], name_of: Callable[[PromptField], str] = quoted) -> str:
        """
        The header of a prompt with its end, from values by the names of the fields. Empty ones are left out; without any
        value the header is empty. `name_of` gives the name of a field for users.

        Raises:
            `ValueError`: if there is no such field or choice, if a field needs another one, or if a value has a line
                break.
        """
        values = {name: value for name, value in values.items() if value}
        unknown = values.keys() - {one.name for one in self.fields}
        if unknown:
            raise ValueError(f"`{min(unknown)}` is not a prompt field of this checkpoint: leave it out.")
        given = [one for one in self.fields if one.name in values]
        for one in given:
            value, choices = values[one.name], [choice.value for choice in one.choices]
            if choices and value not in choices:
                raise ValueError(f"{name_of(one)} must be one of {' '.join(choices)}, but got {value[:40]!r}.")
            if one.needs and one.needs not in values:
                needed = name_of(next(other for other in self.fields if other.name == one.needs))
                raise ValueError(f"{name_of(one)} needs {needed}: give both, or leave {name_of(one)} out.")
            if "\n" in value:
                raise ValueError(f"{name_of(one)} must be one line, but got {value[:40]!r}.")
        parts = [one.template.replace("{value}", values[one.name]) for one in given]
        return "".join(parts) + self.header_end if parts else ""

    def answer_length(
        self, values: Mapping[str, str | None], num_given: int, name_of: Callable[[PromptField], str] = quoted
    ) -> int | None:
        """
        The number of masks for an answer whose length is fixed by a choice, one of them for EOS; `None` if no choice fixes
        it. The prompt already has `num_given` tokens of the answer; a `ValueError` says that these are all.
        """
        for one, choice in self._chosen(values):
            if choice.length is not None:
                if num_given >= choice.length:
                    raise ValueError(
                        f"{name_of(one)} {choice.value} has {choice.length} tokens, and the prompt already has {num_given} of "
                        f"them: shorten the prompt, or leave {name_of(one)} out."
                    )
                return choice.length - num_given + 1
        return None

    def columns(self, values: Mapping[str, str | None], text: str) -> int | None:
        """The cells in a row of a drawing: those of the chosen value, or of a value with first lines as long as this."""
        chosen = self._chosen(values)
        if chosen:
            return chosen[0][1].columns
        columns = 2 * (len(self.first_line(text.rpartition("\n")[2])) + 1)
        known = {choice.columns for one in self.fields for choice in one.choices}
        return columns if columns in known else None

    def gloss(self, values: Mapping[str, str | None]) -> str:
        """What the chosen values mean, in English."""
        return ", ".join(choice.gloss for _, choice in self._chosen(values) if choice.gloss)

    def values_named_in(self, text: str) -> dict[str, str]:
        """The choices that a text names, by their fields."""
        return {one.name: choice.value for one in self.fields for choice in one.choices if choice.value in text}

    def note_on_script(self, text: str) -> str:
        """The note for a text that is mostly in another script than the checkpoint knows; `""` for other texts."""
        letters = [character for character in text.replace(MASK, "") if character.isalpha()]
        num_foreign = sum(not unicodedata.name(letter, "").startswith(self.script) for letter in letters)
        return self.notes.get("other_script", "") if num_foreign > len(letters) / 2 else ""

    def first_line(self, text: str) -> str:
        """The text before the first end of a line."""
        end = min((text.find(mark) for mark in self.line_ends if mark in text), default=len(text))
        return text[:end]

    def line_before(self, line: str, masks: str) -> str:
        """A text in which masks stand for the line before the given one."""
        return masks + self.line_ends[0] + self._ended(line, self.sentence_ends[:1])

    def line_after(self, line: str, masks: str) -> str:
        """A text in which masks stand for the line after the given one."""
        if self.sentence_ends and line.endswith(tuple(self.sentence_ends)):
            return line + masks + self.line_ends[0]
        return self._ended(line, self.line_ends[0]) + masks + self.sentence_ends[:1]

    def _ended(self, line: str, end: str) -> str:
        return line if line.endswith(tuple(self.line_ends)) else line + end

    def _chosen(self, values: Mapping[str, str | None]) -> list[tuple[PromptField, Choice]]:
        return [(one, choice) for one in self.fields for choice in one.choices if values.get(one.name) == choice.value]


def made_from(name: str, values: Any, kind: type) -> list:
    """Objects of a dataclass from those of a JSON file."""
    made = []
    for number, value in enumerate(check_list(name, values)):
        try:
            made.append(value if isinstance(value, kind) else kind(**value))
        except (TypeError, ValueError) as error:
            raise ValueError(f"`{name}[{number}]`: {error}") from error
    return made


def check_list(name: str, value: Any) -> list | tuple:
    if not isinstance(value, list | tuple):
        raise ValueError(f"`{name}` must be a list, but got {value!r}")
    return value


def check_types(values: Any) -> None:
    """Compares the fields of a dataclass with their types."""
    for one in fields(values):
        value, kind = getattr(values, one.name), one.type
        kind = get_origin(kind) if get_origin(kind) in (tuple, Mapping) else kind
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"`{one.name}` must be {getattr(kind, '__name__', kind)}, but got {value!r}")


def count_tokens(text: str, tokenizer) -> int:
    """The length of a text in tokens."""
    return len(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else 0


def check_unicode(name: str, text: str) -> None:
    """Raises a `ValueError` for bytes that are not UTF-8: Python reads them as surrogates, which no tokenizer accepts."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{name} is not UTF-8 text: convert it first.")


def read_fields(checkpoint: str | Path, download: bool = True) -> dict:
    """What a checkpoint declares, as in its file; an adapter adds to what the checkpoint below it declares."""
    base = find_base(checkpoint, download)
    own = read_json(checkpoint, FILE_NAME, download)
    if base is None:
        return own
    inherited = read_json(base, FILE_NAME, download)
    both = [name for name in ("examples", "notes") if name in inherited and name in own]
    return inherited | own | {name: inherited[name] | own[name] for name in both}


def find_base(checkpoint: str | Path, download: bool = True) -> str | None:
    """
    The checkpoint below an adapter: where its config says, or beside the adapter under the same name.

    Returns:
        `str`: A folder or a Hub id; `None` if it is no adapter.

    Raises:
        `ValueError`: if the config does not name it.
    """
    if find_file(checkpoint, ADAPTER_FILE, download) is None:
        return None
    base = read_json(checkpoint, ADAPTER_FILE, download).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ValueError(f"{ADAPTER_FILE} does not name the checkpoint below it (`base_model_name_or_path`)")
    beside = Path(checkpoint).expanduser().resolve().parent / Path(base).name
    return str(beside) if not Path(base).is_dir() and beside.is_dir() else base


def read_json(checkpoint: str | Path, name: str, download: bool) -> dict:
    """The content of a JSON file of a checkpoint, `{}` if there is none."""
    path = find_file(checkpoint, name, download)
    return {} if path is None else reading.read_json(path, dict)


def find_file(checkpoint: str | Path, name: str, download: bool = True) -> Path | None:
    """A file of a checkpoint: in its folder, or in the cache of the Hub, where a missing file is downloaded if allowed."""
    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache

        cached = try_to_load_from_cache(str(checkpoint), name)
        if cached is None and download:
            cached = hf_hub_download(str(checkpoint), name, etag_timeout=3)
    except (ImportError, OSError, ValueError):  # no Hub, no network, no such repository, or no such file
        return None
    return Path(cached) if isinstance(cached, str) else None

# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Training rows that are cut from a corpus on the device.

A row is (start, length, width): `length` tokens from `start` of one flat run of tokens, filled up to `width` with EOS. A kind
of row is therefore a table of starts and lengths, and a batch is one gather.

- `windows`: any `width` tokens of the run `BOS [header] text EOS ...`, across documents, as in the paper's pre-training.
- `documents`: a whole document without BOS, with or without its header, then EOS.
- `spans`: two to four consecutive lines of one document, then EOS.
- `exact`: consecutive lines of equal length that fill the width, from the start of a sentence to the end of one, like a
  couplet. They have no EOS, as for infilling a line between others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ...seeds import named_random
from .corpus import Corpus, Layout, TokenizedDocuments, exclusive_cumsum, lay_out


KINDS = ("windows", "documents", "spans", "exact")
SPAN_LINES = (2, 3, 4)
# What to do where a corpus has no rows of a kind.
CURES = {
    "windows": "Give it more text, or make the `width` smaller.",
    "documents": "Make the `width` larger than the shortest document, or take windows instead.",
    "spans": "Make the `width` larger than two lines, name the `line_ends` of the text, or take windows instead.",
    "exact": "They need lines of equal length between the `line_ends` of the corpus: take windows instead.",
}


def check_ids(input_ids: np.ndarray | torch.Tensor, vocab_size: int, name: str) -> None:
    """Raises a `ValueError` if ids of the dataset with this name are not those of tokens of the model."""
    lowest, highest = int(input_ids.min()), int(input_ids.max())
    if lowest < 0 or highest >= vocab_size:
        raise ValueError(
            f"`input_ids` of `{name}` must be ids below the vocabulary of the model, {vocab_size:,}, but they are from {lowest:,} "
            f"to {highest:,}. Were they tokenised for another model?"
        )


@dataclass
class RowEntry:
    """
    One kind of row in a mixture.

    Args:
        kind (`str`):
            `"windows"`, `"documents"`, `"spans"` or `"exact"`.
        width (`int`):
            Tokens of a row.
        share (`float`):
            Share of the steps that train on this kind, relative to the other entries of the phase.
        famous (`float`, *optional*, defaults to 0):
            Share of the rows of a batch that come from the famous subset.
    """

    kind: str
    width: int
    share: float
    famous: float = 0.0

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, but got {self.kind!r}.")
        if self.width < 2:
            raise ValueError(f"`width` must be at least 2 tokens, but got {self.width}.")
        if self.share < 0 or not 0 <= self.famous <= 1:
            raise ValueError(
                f"`share` must not be negative and `famous` must be in [0, 1], but got {self.share} and {self.famous}."
            )


@dataclass
class RowPhase:
    """
    A mixture of kinds of rows for a part of the training.

    Args:
        fraction (`float`):
            Part of all steps, relative to the other phases.
        entries (`list[RowEntry]`):
            The kinds of rows in this phase.
    """

    fraction: float
    entries: list[RowEntry] = field(default_factory=list)

    def __post_init__(self):
        self.entries = [RowEntry(**entry) if isinstance(entry, dict) else entry for entry in self.entries]
        if self.fraction < 0 or sum(entry.share for entry in self.entries) <= 0:
            raise ValueError(
                "A phase needs a `fraction` that is not negative and `entries` whose shares add up to more than 0, "
                f"but got fraction {self.fraction} and {self.entries}."
            )


@dataclass
class RowTable:
    """The places of the rows of one kind: first tokens, or the range of all first tokens, and lengths."""

    starts: torch.Tensor | tuple[int, int]
    lengths: torch.Tensor | int

    def __len__(self) -> int:
        return self.starts[1] - self.starts[0] if isinstance(self.starts, tuple) else len(self.starts)

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws `count` rows with replacement: their starts and their lengths."""
        index = torch.randint(len(self), (count,), generator=generator, device=generator.device)
        if isinstance(self.starts, tuple):
            return index + self.starts[0], torch.full_like(index, self.lengths)
        return self.starts[index].long(), self.lengths[index].long()


class RowSchedule:
    """The phases of a run: which kind of row a step trains on."""

    def __init__(self, phases: Sequence[RowPhase | dict]):
        self.phases = [RowPhase(**phase) if isinstance(phase, dict) else phase for phase in phases]
        if not self.phases:
            raise ValueError("`phases` must hold at least one phase.")

    @property
    def entries(self) -> list[RowEntry]:
        """All entries of all phases."""
        return [entry for phase in self.phases for entry in phase.entries]

    def entry_at(self, step: int, max_steps: int, seed: int) -> RowEntry:
        """The kind of row of a step, which follows from the seed and the step."""
        position = (step + 0.5) / max_steps * sum(phase.fraction for phase in self.phases)
        for phase in self.phases:  # noqa: B007 (the last phase also takes what rounding leaves)
            position -= phase.fraction
            if position < 0:
                break
        shares = [entry.share for entry in phase.entries]
        return named_random("entry", seed, step).choices(phase.entries, shares)[0]


class RowMixture(RowSchedule):
    """
    The phases of a pre-training run over the `train` and the `famous` split of a corpus.

    Args:
        corpus ([`Corpus`]):
            The tokenised documents.
        phases (`list[RowPhase]` or `list[dict]`):
            The phases, in order.
        device (`torch.device`, *optional*, defaults to `"cpu"`):
            The device of the tokens and the tables.
        seed (`int`, *optional*, defaults to 0):
            Fixes the order of the documents in the run.
    """

    def __init__(
        self, corpus: Corpus, phases: Sequence[RowPhase | dict], device: torch.device | str = "cpu", seed: int = 0
    ):
        super().__init__(phases)
        if corpus.splits.keys().isdisjoint(("train", "famous")):
            raise ValueError(f"`corpus` must have a split `train`, but has {', '.join(corpus.splits) or 'none'}.")
        self.fill_token_id = corpus.eos_token_id
        self.tables: dict[tuple[str, str, int], RowTable] = {}
        runs, offset = [], 0
        for source in ("train", "famous"):
            if source not in corpus.splits:
                continue
            documents = corpus.splits[source]
            layout = lay_out(documents, corpus.bos_token_id, corpus.eos_token_id, seed=seed)
            for kind, width in self._needed(source):
                table = find_rows(kind, width, documents, layout, corpus)
                self.tables[source, kind, width] = _to_device(table, offset, device)
            runs.append(layout.tokens)
            offset += len(layout.tokens)
        self.tokens = torch.from_numpy(np.concatenate(runs)).to(device)
        self._check_tables()

    def _needed(self, source: str) -> list[tuple[str, int]]:
        used = [entry for entry in self.entries if (entry.famous > 0 if source == "famous" else entry.famous < 1)]
        return sorted({(entry.kind, entry.width) for entry in used})

    def _check_tables(self):
        for source in ("train", "famous"):
            for kind, width in self._needed(source):
                if len(self.tables.get((source, kind, width), ())) == 0:
                    raise ValueError(
                        f"`phases` ask for {kind} rows of width {width} of the {source} split, which has none. {CURES[kind]}"
                        + (
                            " Without a split of famous texts, set the `famous` share to 0."
                            if source == "famous"
                            else ""
                        )
                    )

    def draw(self, entry: RowEntry, count: int, generator: torch.Generator) -> torch.LongTensor:
        """Draws `count` rows of one kind, `(count, entry.width)`; the famous ones come last."""
        famous = round(count * entry.famous)
        starts, lengths = [], []
        for source, part in (("train", count - famous), ("famous", famous)):
            if part:
                drawn = self.tables[source, entry.kind, entry.width].draw(part, generator)
                starts.append(drawn[0])
                lengths.append(drawn[1])
        column = torch.arange(entry.width, device=self.tokens.device)
        # A short row at the end of the run reaches past it before it is filled up.
        index = (torch.cat(starts)[:, None] + column).clamp(max=len(self.tokens) - 1)
        rows = self.tokens[index].long()
        return torch.where(column < torch.cat(lengths)[:, None], rows, self.fill_token_id)


def find_rows(kind: str, width: int, documents: TokenizedDocuments, layout: Layout, corpus: Corpus) -> RowTable:
    """Finds all rows of one kind in a split."""
    if kind == "windows":
        return RowTable((0, max(0, len(layout.tokens) - width + 1)), width)
    if kind == "documents":
        fits = layout.lengths <= width
        return _table(layout.starts[fits], layout.lengths[fits])
    lines = find_lines(documents, corpus.line_ends)
    shift = layout.text_starts - exclusive_cumsum(documents.lengths.astype(np.int64))
    if kind == "spans":
        starts, lengths, document = find_spans(lines, width)
    else:
        starts, lengths, document = find_exact_spans(lines, width, documents.tokens, corpus.sentence_ends)
    return _table(starts + shift[document], lengths)


@dataclass
class Lines:
    """Lines of the texts of a split: `[start, end)` in the texts' tokens, and the document that each belongs to."""

    starts: np.ndarray
    ends: np.ndarray
    document: np.ndarray


def find_lines(documents: TokenizedDocuments, line_ends: Sequence[int]) -> Lines:
    """Finds all lines. A line ends with one of the `line_ends`, or at the end of its document."""
    text_ends = np.cumsum(documents.lengths.astype(np.int64))
    is_end = np.isin(documents.tokens, np.array(line_ends))
    is_end[text_ends[documents.lengths > 0] - 1] = True
    ends = np.flatnonzero(is_end) + 1
    return Lines(
        starts=np.concatenate([[0], ends[:-1]]).astype(np.int64),
        ends=ends,
        document=np.searchsorted(text_ends, ends, side="left"),
    )


def find_spans(lines: Lines, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs of two to four lines of one document within the width: starts, lengths and documents."""
    found = []
    for count in SPAN_LINES:
        first = _runs_of_lines(lines, count)
        lengths = lines.ends[first + count - 1] - lines.starts[first]
        fits = lengths <= width
        found.append((lines.starts[first[fits]], lengths[fits], lines.document[first[fits]]))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def find_exact_spans(
    lines: Lines, width: int, tokens: np.ndarray, sentence_ends: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs of equal lines that fill the width and begin and end with a sentence: starts, lengths and documents."""
    line_lengths = lines.ends - lines.starts
    closes_sentence = np.isin(tokens[lines.ends - 1], np.array(sentence_ends))
    opens_sentence = np.concatenate([[True], closes_sentence[:-1] | (lines.document[1:] != lines.document[:-1])])
    found = [np.empty(0, np.int64)]
    for count in range(2, width // 2 + 1):
        if width % count:
            continue
        first = _runs_of_lines(lines, count)
        right_length = np.concatenate([[0], np.cumsum(line_lengths == width // count)])
        equal = right_length[first + count] - right_length[first] == count
        found.append(first[equal & opens_sentence[first] & closes_sentence[first + count - 1]])
    first = np.concatenate(found)
    return lines.starts[first], np.full(len(first), width), lines.document[first]


def _runs_of_lines(lines: Lines, count: int) -> np.ndarray:
    """First lines of the runs of `count` lines that stay in one document."""
    first = np.arange(max(0, len(lines.starts) - count + 1))
    return first[lines.document[first] == lines.document[first + count - 1]]


def _table(starts: np.ndarray, lengths: np.ndarray) -> RowTable:
    return RowTable(torch.from_numpy(starts.astype(np.int32)), torch.from_numpy(lengths.astype(np.int16)))


def _to_device(table: RowTable, offset: int, device: torch.device | str) -> RowTable:
    if isinstance(table.starts, tuple):
        return RowTable((table.starts[0] + offset, table.starts[1] + offset), table.lengths)
    return RowTable((table.starts + offset).to(device), table.lengths.to(device))

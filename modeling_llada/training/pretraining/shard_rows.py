# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Training rows from a corpus of any size, which stays on the disk.

The rows of a step follow from the seed and the step, and a process reads its own. All rows of an epoch are drawn once, in a
random order; the next epoch has another order, and windows that begin elsewhere.

- `windows`: `width` tokens of the run `BOS text EOS BOS text EOS ...`, across documents, as in the paper's pre-training.
- `documents`: a document without BOS, then EOS. Longer documents are cut into several rows, so no row has two documents.
- `spans`: two to four consecutive lines of one document, then EOS.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ...seeds import named_random
from .corpus import TokenizedDocuments
from .document_blocks import DocumentBlocks
from .permutation import shuffled
from .rows import CURES, Lines, RowEntry, RowPhase, RowSchedule, find_lines, find_spans
from .token_shards import TokenShards


RowKey = tuple[str, int]
MOST_SKIPPED = 1000  # documents without a span


def tokens_of_run(lengths: np.ndarray, width: int) -> np.ndarray:
    return lengths + 2


def rows_of_documents(lengths: np.ndarray, width: int) -> np.ndarray:
    return lengths // width + 1  # the EOS included


def one_each(lengths: np.ndarray, width: int) -> np.ndarray:
    return np.ones_like(lengths)


# What places are counted in, by the kind of row: from the numbers of tokens of documents and the width.
ITEMS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "windows": tokens_of_run,
    "documents": rows_of_documents,
    "spans": one_each,
}


class ShardRows(RowSchedule):
    """
    The phases of a pre-training run over a folder that `llada tokenize` wrote.

    With several kinds of rows in a phase, a row is not drawn again before all of its kind would have been, if every step had
    trained on this kind.

    Args:
        corpus ([`TokenShards`], `str` or `Path`):
            The folder.
        phases (`list[RowPhase]` or `list[dict]`):
            The phases, in order. There are no `exact` rows and no `famous` ones.
        split (`str`, *optional*, defaults to `"train"`):
            The split.
        seed (`int`, *optional*, defaults to 0):
            Fixes the order of the rows.
        line_ends (`Sequence[int]`, *optional*):
            The tokens that end a line, for `spans`.

    Raises:
        `ValueError`: if the corpus has no such split, fewer tokens than a row, or no rows of a kind.

    Example:

    ```python
    >>> from modeling_llada.training import LLaDAPretrainer, ShardRows

    >>> windows = {"kind": "windows", "width": 128, "share": 1}
    >>> rows = ShardRows("data/tokens", [{"fraction": 1, "entries": [windows]}])
    >>> LLaDAPretrainer(model, args, train_dataset=rows).train()
    ```
    """

    def __init__(
        self,
        corpus: TokenShards | str | Path,
        phases: Sequence[RowPhase | dict],
        split: str = "train",
        seed: int = 0,
        line_ends: Sequence[int] = (),
    ):
        super().__init__(phases)
        self.corpus = corpus if isinstance(corpus, TokenShards) else TokenShards(corpus)
        if split not in self.corpus.splits:
            raise ValueError(
                f"`split` must be a split of the corpus, {', '.join(self.corpus.splits)}, but got {split!r}. "
                "`llada tokenize --validation` holds documents out."
            )
        self.documents, self.seed, self.line_ends = self.corpus.splits[split], seed, list(line_ends)
        self.blocks: dict[RowKey, DocumentBlocks] = {}
        for entry in self.entries:
            self._check(entry)
            if key_of(entry) not in self.blocks:
                self.blocks[key_of(entry)] = DocumentBlocks(
                    self.documents, partial(ITEMS[entry.kind], width=entry.width)
                )
            if self.num_rows(entry) == 0:
                raise ValueError(
                    f"`width` must be at most the tokens of the split, but {split!r} of {self.corpus.folder} has "
                    f"{self.documents.num_tokens:,} in {self.documents.num_documents:,} documents for a width of "
                    f"{entry.width}. Give it more text (`llada tokenize --validation` holds more out), or make the width smaller: "
                    "`row_length`, or in a recipe `eval_width` or that of `phases`."
                )
            if entry.kind == "spans":
                self.read(entry, step=0, count=1, own=slice(0, 1))  # raises if there are none

    def _check(self, entry: RowEntry) -> None:
        if entry.kind not in ITEMS:
            raise ValueError(
                f"`kind` must be one of {', '.join(ITEMS)} for a folder of shards, but got {entry.kind!r}. Put such rows "
                "into a file with `examples/pretrain.py --tokenize-only`."
            )
        if entry.famous:
            raise ValueError(
                f"`famous` must be 0 for a folder of shards, which has no split of famous texts, but got {entry.famous}."
            )
        if entry.kind == "spans" and not self.line_ends:
            raise ValueError("`line_ends` must name the tokens that end a line, because `phases` ask for `spans`.")

    def num_rows(self, entry: RowEntry) -> int:
        """The rows of this kind in an epoch."""
        return len(self.blocks[key_of(entry)]) // (entry.width if entry.kind == "windows" else 1)

    def read(self, entry: RowEntry, step: int, count: int, own: slice) -> np.ndarray:
        """The rows `own` of the `count` rows of a step, `(own.stop - own.start, entry.width)`."""
        name = (self.seed, entry.kind, entry.width)
        epochs, places = shuffled(step * count, own, self.num_rows(entry), "order", *name)
        if entry.kind == "windows":
            return self.windows(places * entry.width + self._offsets(entry, epochs), entry.width)
        if entry.kind == "documents":
            return self._documents(places, entry)
        draws = zip(epochs.tolist(), places.tolist(), strict=True)
        return np.stack(
            [self._span(place, entry, named_random("span", *name, epoch, place)) for epoch, place in draws]
        )

    def _offsets(self, entry: RowEntry, epochs: np.ndarray) -> np.ndarray:
        """Where the first window of an epoch begins: windows do not fill the run exactly."""
        spare = len(self.blocks[key_of(entry)]) % entry.width
        numbers = range(epochs[0], epochs[-1] + 1)
        offsets = [named_random("offset", self.seed, entry.width, epoch).randint(0, spare) for epoch in numbers]
        return np.array(offsets)[epochs - epochs[0]]

    def windows(self, starts: np.ndarray, width: int) -> np.ndarray:
        """Windows of the run from some of its tokens on, `(len(starts), width)`."""
        index = self.blocks["windows", 0]
        blocks, lengths, begins = index.around(starts, reach=width)
        begins -= starts[:, None]
        rows = np.full((len(starts), width), -1, np.int64)
        for token, places in ((self.corpus.bos_token_id, begins), (self.corpus.eos_token_id, begins + lengths + 1)):
            row, document = np.nonzero((places >= 0) & (places < width))
            rows[row, places[row, document]] = token
        # The text of a window lies in one piece, behind the text of these documents that is before the window.
        is_text = rows < 0
        firsts = index.token_starts[blocks] + np.clip(-begins - 1, 0, lengths).sum(1)
        text = self.documents.token_rows(firsts, width)
        rows[is_text] = text[np.arange(width) < is_text.sum(1, keepdims=True)]
        return rows

    def _documents(self, places: np.ndarray, entry: RowEntry) -> np.ndarray:
        starts, lengths, pieces = self._find(places, key_of(entry))
        skipped = pieces * entry.width
        rows = self.documents.token_rows(starts + skipped, entry.width).astype(np.int64)
        is_text = np.arange(entry.width) < (lengths - skipped)[:, None]
        return np.where(is_text, rows, self.corpus.eos_token_id)

    def _find(self, places: np.ndarray, key: RowKey) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The documents at some places: their first tokens, their lengths, and the item of the document at the place."""
        index = self.blocks[key]
        blocks, lengths, begins = index.around(places)
        document = (begins <= places[:, None]).sum(1, keepdims=True) - 1
        starts = index.token_starts[blocks] + np.take_along_axis(lengths.cumsum(1) - lengths, document, 1)[:, 0]
        found = [np.take_along_axis(values, document, 1)[:, 0] for values in (lengths, begins)]
        return starts, found[0], places - found[1]

    def _span(self, place: int, entry: RowEntry, rng: random.Random) -> np.ndarray:
        """Lines of a document, or of the next one that has such lines."""
        most = min(MOST_SKIPPED, self.documents.num_documents)
        for document in range(place, place + most):
            start, length, _ = self._find(np.array([document % self.documents.num_documents]), key_of(entry))
            text = self.documents.tokens(int(start[0]), int(start[0] + length[0]))
            starts, lengths, _ = find_spans(lines_of(text, self.line_ends), entry.width)
            if len(starts):
                row, chosen = np.full(entry.width, self.corpus.eos_token_id, np.int64), rng.randrange(len(starts))
                row[: lengths[chosen]] = text[starts[chosen] : starts[chosen] + lengths[chosen]]
                return row
        raise ValueError(
            f"`phases` ask for spans rows of width {entry.width}, but {most:,} documents in a row have none. "
            f"{CURES['spans']}"
        )


def key_of(entry: RowEntry) -> RowKey:
    """Rows of equal keys count places in the same items."""
    return entry.kind, entry.width if entry.kind == "documents" else 0


def lines_of(text: np.ndarray, line_ends: Sequence[int]) -> Lines:
    """The lines of one document."""
    if not len(text):
        return Lines(*(np.zeros(0, np.int64) for _ in range(3)))
    nothing = np.zeros(0, text.dtype)
    return find_lines(TokenizedDocuments(text, np.array([len(text)]), nothing, np.zeros(1, np.int64)), line_ends)

# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The data of a scaling study: the corpus, windows of held-out poems, and couplets."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from modeling_llada.training import Corpus, TokenizedDocuments, tokenize_documents
from modeling_llada.training.pretraining.rows import find_lines


ROOT = Path(__file__).resolve().parents[2]
COUPLET_WIDTH = 16  # two lines of seven characters with their marks
FORMS = (5, 7)
HELD_OUT_PERCENT = 15  # share of the famous poems, if the corpus has no other poems
FAMOUS = "famous"


def load_corpus(source: str, vocab_size: int) -> Corpus:
    """
    Loads a tokenised corpus with the splits `train`, `test` and `famous`: a file of `examples/pretrain.py --tokenize-only`, or for
    `famous` the poems in this repository, split by a hash of their text, where the rarest characters become unknown.
    """
    corpus = famous_corpus(vocab_size) if source == FAMOUS else Corpus.load(source)
    if corpus.vocab_size != vocab_size:
        raise ValueError(
            f"`vocab_size` of the plan must be that of the corpus, {corpus.vocab_size}, because FLOPs are counted with it, "
            f"but got {vocab_size}."
        )
    return corpus


def famous_corpus(vocab_size: int) -> Corpus:
    """The poems in this repository with the most frequent tokens of their tokenizer; `famous` is the same as `train`."""
    from transformers import AutoTokenizer

    from recipes.poems.couplets import famous_poems
    from recipes.poems.dedupe import is_held_out

    tokenizer = AutoTokenizer.from_pretrained(ROOT / "checkpoints" / "llada-poet")
    texts = [poem["text"] for poem in famous_poems()]
    held_out = [is_held_out(text, HELD_OUT_PERCENT) for text in texts]
    ends = tokenizer.convert_tokens_to_ids(list("，。？！；："))
    kept = [tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.mask_token_id, *ends]

    def split(part: bool) -> TokenizedDocuments:
        chosen = [text for text, held in zip(texts, held_out, strict=True) if held == part]
        return tokenize_documents(chosen, [[] for _ in chosen], tokenizer)

    train, test = split(False), split(True)
    counts = np.bincount(train.tokens, minlength=len(tokenizer))
    counts[kept] = 0
    frequent = np.argsort(-counts, kind="stable")[: vocab_size - len(kept)]
    new_ids = np.zeros(len(tokenizer), np.uint16)  # 0: unknown
    new_ids[kept + frequent.tolist()] = np.arange(vocab_size)
    for documents in (train, test):
        documents.tokens = new_ids[documents.tokens]
    bos, eos, mask = (int(new_ids[token]) for token in kept[1:4])
    line_ends = new_ids[ends].tolist()
    # The line ends ， and ： do not end a sentence.
    return Corpus({"train": train, "test": test, FAMOUS: train}, vocab_size, bos, eos, mask, line_ends, line_ends[1:5])


@dataclass
class Couplets:
    """
    Couplets `LINE，LINE。` of five or seven characters a line, padded with EOS, `(num_couplets, 16)`, and the characters of a line,
    `(num_couplets,)`.
    """

    rows: torch.LongTensor
    characters: torch.LongTensor

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def asked(self) -> torch.BoolTensor:
        """All tokens after the comma: the second line, its mark and the EOS, `(num_couplets, 16)`."""
        return torch.arange(COUPLET_WIDTH) > self.characters[:, None]

    @property
    def second_line(self) -> torch.BoolTensor:
        """The characters of the second line, `(num_couplets, 16)`."""
        place = torch.arange(COUPLET_WIDTH)
        return self.asked & (place <= 2 * self.characters[:, None])


def find_couplets(corpus: Corpus, split: str, limit: int, seed: int = 0) -> Couplets:
    """Draws at most `limit` distinct couplets of a split; those of five characters come first."""
    documents = corpus.splits[split]
    lines = find_lines(documents, corpus.line_ends)
    lengths, marks = lines.ends - lines.starts, documents.tokens[lines.ends - 1]
    comma, stop = corpus.line_ends[0], corpus.sentence_ends[0]
    first = np.arange(len(lengths) - 1)
    together = (lines.document[:-1] == lines.document[1:]) & (lengths[:-1] == lengths[1:])
    together &= (marks[:-1] == comma) & (marks[1:] == stop) & np.isin(lengths[:-1], np.array(FORMS) + 1)
    # A dictionary keeps the order of the corpus, and the first of equal couplets.
    texts = dict.fromkeys(
        tuple(documents.tokens[lines.starts[line] : lines.ends[line + 1]].tolist()) for line in first[together]
    )
    texts = list(texts)
    chosen = np.random.default_rng(seed).permutation(len(texts))[:limit]
    texts = sorted((texts[index] for index in chosen), key=len)
    rows = torch.full((len(texts), COUPLET_WIDTH), corpus.eos_token_id)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    return Couplets(rows, torch.tensor([len(text) // 2 - 1 for text in texts]))


def with_distractors(couplets: Couplets, candidates: int, seed: int = 0) -> list[Couplets]:
    """
    The couplets with their own second line, and then `candidates - 1` times with second lines of other couplets of the same form.
    """
    rng = np.random.default_rng(seed)
    donors = torch.arange(len(couplets)).repeat(candidates, 1)
    for form in couplets.characters.unique():
        group = (couplets.characters == form).nonzero().flatten()
        if len(group) < candidates:
            raise ValueError(
                f"`candidates` must be at most {len(group)}, the couplets of {form} characters, but got {candidates}."
            )
        for place in range(len(group)):
            # Distinct steps of 1 to n - 1 around the circle lead to distinct other couplets.
            steps = torch.from_numpy(rng.permutation(len(group) - 1)[: candidates - 1] + 1)
            donors[1:, group[place]] = group[(place + steps) % len(group)]
    asked = couplets.asked
    return [Couplets(torch.where(asked, couplets.rows[donor], couplets.rows), couplets.characters) for donor in donors]

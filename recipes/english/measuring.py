# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What is measured of a model: how likely held-out text of each kind is, and how good its own text is.

- **Held-out text.** For a mask predictor the bound of eq. 6, for its twin the exact value, on the same windows, in nats a token and
  bits a byte.
- **Its own text.** Held-out beginnings are completed, and an autoregressive judge, SmolLM2, says how likely each completion is. Dull
  text is likely, so each such number stands beside the entropy of the tokens of a completion, and beside the divergence (Jensen and
  Shannon's, in nats) of the frequencies of all tokens from those of held-out text. The judge's own completions and held-out text are
  measured in the same way.
- **A missing sentence.** The sentence in the middle of a held-out text is filled in, and judged together with what follows.

Recall of famous sentences is measured by `llada eval reversal`.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedModel

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.loading import find_device
from modeling_llada.seeds import indexed_generator
from modeling_llada.training import Corpus, lay_out
from modeling_llada.training.pretraining.held_out_loss import held_out_bounds
from modeling_llada.training.pretraining.twin import next_token_losses
from recipes.english.filtering import SENTENCE_END
from recipes.english.tokens import CORPUS, TOKENS, read_texts
from recipes.smollm2.measuring import entropies, interval
from recipes.smollm2.weights import GGUF, load_original, load_tokenizer
from reporting.results import describe_machine, save


TEMPERATURES = (0.0, 0.4, 0.7, 1.0)
REMASKING = ("low_confidence", "random")
DIVISORS = (1, 2, 4)  # tokens that a pass commits
PROMPT_WORDS = 24
SHOWN = 20  # texts that are kept in the results, the first ones


class TextJudge:
    """The autoregressive judge of texts, which may come from models with other tokenizers."""

    def __init__(self, model: LlamaForCausalLM, tokenizer, batch_size: int):
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size
        model.config.bos_token_id = tokenizer.unk_token_id  # which is between documents

    def encode(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def nats(self, beginnings: list[str], endings: list[str]) -> torch.Tensor:
        """Nats per token of each ending, given its beginning."""
        rows = [(self.encode(first), self.encode(last)) for first, last in zip(beginnings, endings, strict=True)]
        width, means = max(len(first) + len(last) for first, last in rows), []
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            # Padding on the right is not seen from the left.
            padded = torch.tensor([first + last + [0] * (width - len(first) - len(last)) for first, last in batch])
            losses = next_token_losses(self.model, padded.to(self.model.device), self.batch_size).cpu()
            spans = [slice(len(first), len(first) + max(len(last), 1)) for first, last in batch]
            means += [row[span].mean() for row, span in zip(losses, spans, strict=True)]
        return torch.stack(means)

    def quality(self, beginnings: list[str], endings: list[str], truth: list[str]) -> dict:
        """Likelihood, entropy, and the divergence from true endings, of some endings."""
        ids = [self.encode(text) or [0] for text in endings]
        return {
            "nats": interval(self.nats(beginnings, endings)),
            "entropy": interval(torch.cat([entropies(torch.tensor([row])) for row in ids])),
            "divergence": round(divergence(ids, [self.encode(text) for text in truth]), 5),
            "texts": endings[:SHOWN],
        }

    @torch.no_grad()
    def completions(self, beginnings: list[str], new_tokens: int, temperature: float, seed: int) -> list[str]:
        """The judge's own endings."""
        torch.manual_seed(seed)
        self.tokenizer.padding_side = "left"
        texts = [self.tokenizer.unk_token + text for text in beginnings]
        inputs = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        inputs = inputs.to(self.model.device)
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
        never = [self.tokenizer.unk_token_id, self.tokenizer.bos_token_id, self.tokenizer.eos_token_id]
        output = self.model.generate(**inputs, max_new_tokens=new_tokens, suppress_tokens=never, **sampling)
        return self.tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def divergence(rows: list[list[int]], others: list[list[int]]) -> float:
    """The Jensen-Shannon divergence of the frequencies of tokens, in nats."""
    flat = [torch.tensor([token for row in some for token in row]) for some in (rows, others)]
    size = int(max(tokens.max() for tokens in flat)) + 1
    first, second = (tokens.bincount(minlength=size) / len(tokens) for tokens in flat)
    middle = (first + second) / 2
    return sum(F.kl_div(middle.clamp(min=1e-12).log(), part, reduction="sum").item() / 2 for part in (first, second))


def measure(
    model: Path,
    data: Path,
    output: Path,
    windows: int,
    noise_samples: int,
    texts: int,
    new_tokens: int,
    batch_size: int,
    device: str | None,
) -> None:
    """Measures the model in a folder, and writes one JSON file."""
    device, corpus = find_device(device), Corpus.load(data / CORPUS)
    network, tokenizer = load(model, device)
    record = {"model": str(model), "machine": describe_machine(device)}
    record["held_out"] = held_out(network, corpus, data, windows, noise_samples, batch_size)
    save(output, record)
    if isinstance(network, LLaDAForMaskedLM):
        judge = TextJudge(load_original(data).to(device), load_tokenizer(data / GGUF), batch_size)
        beginnings, endings = held_out_beginnings(data, texts, tokenizer, new_tokens)
        record["text"] = frontier(network, tokenizer, judge, beginnings, endings, new_tokens)
        save(output, record)
        record["missing_sentence"] = missing_sentences(network, tokenizer, judge, data, texts)
    save(output, record)
    print(f"wrote {output}")


def load(folder: Path, device: torch.device) -> tuple[PreTrainedModel, object]:
    """A LLaDA, or its autoregressive twin, with its tokenizer."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"`--model` must be the folder of a model, but there is no {folder / 'config.json'}.")
    kind = LLaDAForMaskedLM if AutoConfig.from_pretrained(folder).model_type == "llada" else AutoModelForCausalLM
    return kind.from_pretrained(folder, dtype=torch.float32).to(device).eval(), AutoTokenizer.from_pretrained(folder)


def held_out(
    model: PreTrainedModel, corpus: Corpus, data: Path, windows: int, noise_samples: int, batch_size: int
) -> dict:
    """Nats a token and bits a byte of the held-out documents of each kind, in windows as wide as half of the model's context."""
    counts = json.loads((data / TOKENS).read_text(encoding="utf-8"))
    width, found = model.config.max_position_embeddings // 2, {}
    for name in [name for name in corpus.splits if name.startswith("test_")]:
        tokens = torch.from_numpy(
            lay_out(corpus.splits[name], corpus.bos_token_id, corpus.eos_token_id, False, None).tokens
        )
        rows = tokens[: len(tokens) // width * width].view(-1, width)[:windows].long().to(model.device)
        if not len(rows):
            continue
        if isinstance(model, LLaDAForMaskedLM):
            nats = held_out_bounds(model, rows, noise_samples, batch_size)
        else:
            nats = next_token_losses(model, rows, batch_size).mean(1)
        bytes_a_token = counts[name]["bytes"] / len(tokens)  # of which BOS and EOS are predicted, too
        found[name] = {
            "windows": len(rows),
            "nats": interval(nats),
            "bits_a_byte": round(nats.mean().item() / math.log(2) / bytes_a_token, 4),
        }
        print(
            f"{name:16} {found[name]['nats']['mean']:.3f} nats a token, {found[name]['bits_a_byte']:.3f} bits a byte",
            flush=True,
        )
    return found


def held_out_beginnings(data: Path, number: int, tokenizer, new_tokens: int) -> tuple[list[str], list[str]]:
    """The first words of held-out texts, plain English first, and as many tokens as are written after them."""
    beginnings, endings = [], []
    for text in sorted_texts(data):
        words = text.split(" ")
        first, rest = " ".join(words[:PROMPT_WORDS]), " " + " ".join(words[PROMPT_WORDS:])
        if len(tokenizer(rest, add_special_tokens=False)["input_ids"]) >= new_tokens and len(beginnings) < number:
            beginnings.append(first)
            endings.append(first_tokens(rest, tokenizer, new_tokens))
    if not beginnings:
        raise ValueError(
            f"`--new-tokens` must be fewer, because no held-out text has {new_tokens} after its beginning."
        )
    return beginnings, endings


def first_tokens(text: str, tokenizer, number: int) -> str:
    return tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"][:number])


def sorted_texts(data: Path) -> list[str]:
    """The held-out texts of plain English, and then those of novels."""
    held_out = [(kind, text) for kind, text, is_held_out in read_texts(data) if is_held_out]
    return [text for wanted in ("written", "novels") for kind, text in held_out if kind == wanted]


@torch.no_grad()
def frontier(model, tokenizer, judge: TextJudge, beginnings: list[str], endings: list[str], new_tokens: int) -> dict:
    """
    The quality of completions over temperature, order and number of passes, beside that of the judge and of held-out text. All texts
    have the same number of the model's tokens, because longer ones have more entropy and are more likely.
    """
    rows = {"held-out text": judge.quality(beginnings, endings, endings)}
    for temperature in TEMPERATURES:
        texts = judge.completions(beginnings, new_tokens, temperature, seed=0)
        texts = [first_tokens(text, tokenizer, new_tokens) for text in texts]
        rows[f"judge, temperature {temperature}"] = judge.quality(beginnings, texts, endings)
    for remasking, temperature, divisor in settings():
        steps = max(new_tokens // divisor, 1)
        texts = completions(model, tokenizer, beginnings, new_tokens, remasking, temperature, steps)
        name = f"{remasking}, temperature {temperature}, {steps} passes"
        rows[name] = judge.quality(beginnings, texts, endings)
        print(
            f"{name:48} {rows[name]['nats']['mean']:.3f} nats, entropy {rows[name]['entropy']['mean']:.3f}", flush=True
        )
    return rows


def settings() -> Iterator[tuple[str, float, int]]:
    """Order, temperature and tokens a pass: all temperatures at two tokens a pass, and one temperature at the others."""
    for remasking in REMASKING:
        for divisor in DIVISORS:
            yield from (
                (remasking, temperature, divisor) for temperature in (TEMPERATURES if divisor == 2 else (0.7,))
            )


def completions(
    model, tokenizer, beginnings, new_tokens: int, remasking: str, temperature: float, steps: int
) -> list[str]:
    """The model's endings."""
    tokenizer.padding_side = "left"
    inputs = tokenizer(beginnings, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    output = model.generate(
        inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        max_new_tokens=new_tokens,
        block_length=new_tokens,
        steps=steps,
        remasking=remasking,
        temperature=temperature,
        suppress_tokens=[tokenizer.bos_token_id, tokenizer.eos_token_id],
        generator=indexed_generator(0, 0, model.device),
    )
    return tokenizer.batch_decode(output[:, -new_tokens:], skip_special_tokens=True)


@torch.no_grad()
def missing_sentences(model, tokenizer, judge: TextJudge, data: Path, number: int) -> dict:
    """The judge's nats a token of the middle sentence and what follows: the true one, and the model's of as many tokens."""
    parts = []
    for text in sorted_texts(data):
        sentences = SENTENCE_END.split(text)[:7]
        if len(sentences) >= 3 and len(parts) < number:
            middle = len(sentences) // 2
            parts.append(
                (" ".join(sentences[:middle]), " " + sentences[middle], " " + " ".join(sentences[middle + 1 :]))
            )
    found = {
        "the true sentence": interval(judge.nats([part[0] for part in parts], [part[1] + part[2] for part in parts]))
    }
    for divisor in DIVISORS:
        filled = [fill(model, tokenizer, *part, divisor) for part in parts]
        rests = [one + part[2] for one, part in zip(filled, parts, strict=True)]
        found[f"{divisor} tokens a pass"] = interval(judge.nats([part[0] for part in parts], rests))
    found["texts"] = [[*part, one] for part, one in zip(parts[:SHOWN], filled, strict=False)]
    return found


def fill(model, tokenizer, before: str, sentence: str, after: str, divisor: int) -> str:
    """The model's sentence between two texts."""
    first, hidden, last = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, sentence, after)
    )
    canvas = torch.tensor([first + [model.config.mask_token_id] * len(hidden) + last], device=model.device)
    steps = math.ceil(len(hidden) / divisor)
    never = [tokenizer.bos_token_id, tokenizer.eos_token_id]
    output = model.generate(canvas, max_new_tokens=0, steps=steps, temperature=0.0, suppress_tokens=never)
    return tokenizer.decode(output[0, len(first) : len(first) + len(hidden)])

# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada score`: the log-likelihood of texts, of completions of a prompt, or of spans of texts."""

import argparse
import math
import time
from collections.abc import Iterator

from .arguments import add_model_arguments, check_seed, find_checkpoint, open_with_processor
from .errors import CommandError
from .prompts import prompt_fields, warn_about_unknown_characters
from .scored_texts import CLOSE, OPEN, ScoredText, read_lines, scored_texts
from .terminal import note, table_console, with_progress, write_json


EXAMPLES = f"""examples:
  score a whole text ("moonlight before my bed, it looks like frost on the ground"):
    llada score "床前明月光，疑是地上霜。"
  score a completion of a prompt; several completions are ranked, as in a multiple-choice question:
    llada score --prompt "床前明月光，" "疑是地上霜。"
    llada score --prompt "床前明月光，" "疑是地上霜。" "举头望明月。" "白日依山尽。"
  score a span, given the text on both sides of it:
    llada score --infill "床前{OPEN}明月{CLOSE}光，疑是地上霜。"
  score each line of a file or of stdin:
    llada score --file poems.txt --num-samples 16 --antithetic --json
    llada score --file - < poems.txt
  score a long text in sliding windows:
    llada score --window 8 --stride 4 "床前明月光，疑是地上霜。举头望明月，低头思故乡。"

The log-likelihood is an estimated lower bound (eq. 6 of the LLaDA paper) in nats, with its standard error; the perplexity
follows from it. The noise of each text comes from the same seed, so a score depends neither on the other texts nor on the
batch size. The end of a text is only scored with --eos. A whole text that is longer than the context of the model is
scored in sliding windows.
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the subcommand to the parser of `llada`."""
    parser = commands.add_parser(
        "score",
        help="score texts, or compare completions",
        description="Estimate the log-likelihood of texts, of completions of a prompt, or of spans of texts.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="text to score; several texts are ranked")
    task = parser.add_argument_group("task")
    task.add_argument("--prompt", metavar="TEXT", help="score each TEXT as a completion of this text")
    task.add_argument("--infill", action="store_true", help=f"score the text between {OPEN} and {CLOSE} in each TEXT")
    task.add_argument("--file", metavar="FILE", help="score the lines of a file; - is stdin")
    task.add_argument("--eos", action="store_true", help="add EOS to each TEXT, and score it as its last character")
    estimate = parser.add_argument_group("estimate")
    estimate.add_argument(
        "--num-samples", type=int, default=128, metavar="N", help="noise samples for each text (%(default)s)"
    )
    estimate.add_argument(
        "--antithetic", action="store_true", help="use pairs of opposite samples, for a smaller error"
    )
    estimate.add_argument(
        "--cfg-scale", type=float, default=0.0, metavar="W", help="scale of the classifier-free guidance (%(default)s)"
    )
    estimate.add_argument("--window", type=int, metavar="N", help="tokens that the model sees at once (its context)")
    estimate.add_argument(
        "--stride", type=int, metavar="N", help="tokens to score in each window (half of the window)"
    )
    estimate.add_argument(
        "--batch-size", type=int, metavar="N", help="sequences in a forward pass (as many as should fit)"
    )
    estimate.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the noise (%(default)s)")
    add_model_arguments(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print a JSON object for each text")


def run(args: argparse.Namespace) -> None:
    """Scores as the command line asks."""
    check_arguments(args)
    texts = scored_texts(args.texts or read_lines(args.file), args.prompt, args.infill)
    for text in texts:
        prompt_fields.check_unicode(f"{text.shown!r}", text.text)
    name = find_checkpoint(args.model)
    model, processor = open_with_processor(name, args, lambda: check_numbers(args))
    from modeling_llada.conversation import check_placeholders
    from modeling_llada.loading import tokenizer_of

    for text in texts:
        check_placeholders(f"{text.shown!r}", text.text, processor)
    tokenizer = tokenizer_of(processor)
    warn_about_unknown_characters("".join(text.text for text in texts), tokenizer, name)
    encoded = [text.encode(tokenizer, model.config, args.eos) for text in texts]
    check_lengths(texts, encoded, args, model.config.max_position_embeddings)
    options = {
        "num_samples": args.num_samples,
        "batch_size": args.batch_size or fitting_batch_size(model, encoded, args),
        "antithetic": args.antithetic,
        "cfg_scale": args.cfg_scale,
    }
    shown_options = {"model": name, **options, "window": args.window, "stride": args.stride}
    shown_options |= {"eos": args.eos, "seed": args.seed}

    start, results = time.perf_counter(), []
    for result in with_progress("scoring", score(model, texts, encoded, args, options), len(texts)):
        result = {"prompt": args.prompt, **result}
        results.append(result)
        if args.json and args.file:  # do not wait for the other lines
            write_json({**result, "options": shown_options})
    if args.texts:
        rank(results)
    if not args.json:
        write_table(results)
        write_summary(results, options, args, time.perf_counter() - start)
    elif args.texts:
        for result in results:
            write_json({**result, "options": shown_options})


def check_arguments(args: argparse.Namespace) -> None:
    """Checks the arguments before the checkpoint is loaded."""
    if bool(args.texts) == (args.file is not None):
        raise CommandError("give the texts to score either as TEXT or with `--file`.")
    if args.infill and args.prompt is not None:
        raise CommandError("`--infill` takes the whole text: leave `--prompt` out.")
    if args.prompt == "":
        raise CommandError("`--prompt` is empty: leave it out to score whole texts.")
    if has_windows(args) and (args.infill or args.prompt):
        raise CommandError("`--window` and `--stride` are for whole texts: leave `--prompt` and `--infill` out.")
    check_seed(args.seed)


def has_windows(args: argparse.Namespace) -> bool:
    """Whether the user asks for sliding windows."""
    return args.window is not None or args.stride is not None


def check_numbers(args: argparse.Namespace) -> None:
    """Lets the library check the numbers of the estimate."""
    from modeling_llada.models.likelihood_llada import check_samples

    check_samples(args.num_samples, 1 if args.batch_size is None else args.batch_size, args.antithetic, args.cfg_scale)


def check_lengths(texts: list[ScoredText], encoded: list, args: argparse.Namespace, limit: int) -> None:
    """Checks that texts with a given part fit into the context, as they cannot be cut into windows."""
    for text, (input_ids, _) in zip(texts, encoded, strict=True):
        if len(input_ids) > limit and (args.infill or args.prompt):
            raise CommandError(
                f"{text.shown[:20]!r} has {len(input_ids)} tokens with its given part, and the context of the model has "
                f"{limit}: shorten it, or score it as a whole text."
            )


def fitting_batch_size(model, encoded: list, args: argparse.Namespace) -> int:
    """The number of sequences that should fit into half of the free memory of a GPU, or into 1 GiB elsewhere; at most 256."""
    import torch

    config = model.config
    length = min(max(len(input_ids) for input_ids, _ in encoded), args.window or config.max_position_embeddings)
    # Logits and their log-softmax in float32, and the activations of one layer.
    bytes_per_token = 4 * (4 * config.vocab_size + 8 * config.hidden_size + 3 * config.intermediate_size)
    memory = torch.cuda.mem_get_info(model.device)[0] // 2 if model.device.type == "cuda" else 2**30
    sequences = memory // (bytes_per_token * length)
    return max(1, min(256, sequences // 2 if args.cfg_scale > 0 else sequences))


def score(
    model, texts: list[ScoredText], encoded: list, args: argparse.Namespace, options: dict
) -> Iterator[dict[str, object]]:
    """Scores the texts in their order, with the arguments `options` of [`~LLaDAForMaskedLM.log_likelihood`]."""
    import torch

    at_a_time = max(1, options["batch_size"] // options["num_samples"])  # texts in a forward pass
    for start in range(0, len(texts), at_a_time):
        part = slice(start, start + at_a_time)
        try:
            output = estimate(model, encoded[part], args, options)
        except torch.OutOfMemoryError as error:
            raise CommandError(
                f"the memory of {model.device} is too small: use a `--batch-size` below {options['batch_size']}."
            ) from error
        values, errors = output.log_likelihood.tolist(), output.standard_error.tolist()
        for text, (_, labels), value, error in zip(texts[part], encoded[part], values, errors, strict=True):
            yield describe(text, sum(label != -100 for label in labels), value, error)


def estimate(model, encoded: list, args: argparse.Namespace, options: dict):
    """The [`LLaDALikelihoodOutput`] of texts. They are padded to one length, which changes no score."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    input_ids, labels = ([torch.tensor(row) for row in column] for column in zip(*encoded, strict=True))
    attention_mask = pad_sequence([torch.ones_like(row) for row in input_ids], batch_first=True)
    input_ids = pad_sequence(input_ids, batch_first=True)
    labels = pad_sequence(labels, batch_first=True, padding_value=-100)
    options = {**options, "generator": [torch.Generator().manual_seed(args.seed) for _ in encoded]}
    if has_windows(args) or input_ids.shape[1] > model.config.max_position_embeddings:
        return model.rolling_log_likelihood(
            input_ids, attention_mask, window=args.window, stride=args.stride, **options
        )
    return model.log_likelihood(input_ids, labels, attention_mask, **options)


def describe(text: ScoredText, num_tokens: int, log_likelihood: float, standard_error: float) -> dict[str, object]:
    """The object of `--json` for a text. A single sample has no standard error, which is then `None`."""
    per_token = log_likelihood / num_tokens
    return {
        "text": text.shown,
        "scored": text.scored,
        "num_tokens": num_tokens,
        "log_likelihood": round(log_likelihood, 4),
        "standard_error": None if math.isnan(standard_error) else round(standard_error, 4),
        "log_likelihood_per_token": round(per_token, 4),
        "perplexity": round(math.exp(-per_token), 4) if per_token > -700 else None,
    }


def rank(results: list[dict]) -> None:
    """Ranks several texts. Completions of one prompt also get their probability among each other."""
    if len(results) == 1:
        return
    best = max(result["log_likelihood"] for result in results)
    total = sum(math.exp(result["log_likelihood"] - best) for result in results)
    order = sorted(results, key=lambda result: -result["log_likelihood"])
    for place, result in enumerate(order, start=1):
        result["rank"] = place
        if result["prompt"]:
            result["probability_among_these"] = round(math.exp(result["log_likelihood"] - best) / total, 4)


def write_table(results: list[dict]) -> None:
    """Writes a line for each text. Ranked texts begin with the most probable one."""
    from rich.table import Table
    from rich.text import Text

    ranked = "rank" in results[0]
    shares = "probability_among_these" in results[0]
    headings = ["log-likelihood", "error", "per token", "perplexity", "tokens"]
    table = Table(box=None, pad_edge=False)
    for heading in ["rank"] * ranked + headings + ["among these"] * shares:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("text", overflow="fold")
    for result in sorted(results, key=lambda result: result["rank"]) if ranked else results:
        error = result["standard_error"]
        cells = [str(result["rank"])] if ranked else []
        cells += [f"{result['log_likelihood']:.2f}", "" if error is None else f"±{error:.2f}"]
        cells += [
            f"{result['log_likelihood_per_token']:.2f}",
            "inf" if result["perplexity"] is None else f"{result['perplexity']:.4g}",
        ]
        cells += [str(result["num_tokens"])]
        cells += [f"{result['probability_among_these']:.1%}"] if shares else []
        table.add_row(*cells, Text(result["text"]))
    table_console(120 + 2 * max(len(result["text"]) for result in results)).print(table)


def write_summary(results: list[dict], options: dict, args: argparse.Namespace, seconds: float) -> None:
    """Writes to stderr how the scores were estimated."""
    parts = [
        f"{options['num_samples']} {'antithetic ' if args.antithetic else ''}noise samples",
        f"seed {args.seed}",
        "EOS follows" if args.eos else "no EOS",
        f"{seconds:.2f} s",
    ]
    best = sorted(results, key=lambda result: result.get("rank", 0))[:2]
    if "rank" in best[0] and None not in (errors := [result["standard_error"] for result in best]):
        gap = best[0]["log_likelihood"] - best[1]["log_likelihood"]
        if gap < 2 * math.hypot(*errors):
            parts.append("the first two differ by less than two standard errors: raise --num-samples")
    note(" · ".join(parts))

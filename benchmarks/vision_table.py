# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The table of the benchmark of LLaDA-V."""

from reporting.markdown import table


def section(report: dict) -> str:
    """The results of a run as a table with a sentence around it."""
    prompt, training = report["prompt"], report["training"]
    columns = ["decoding", "passes", "ms a pass", "seconds an answer", "more memory, GiB"]
    rows = [
        [
            row["name"],
            "" if row["passes"] is None else str(row["passes"]),
            f"{row['ms_a_pass']:.1f}" if row["passes"] else "",
            f"{row['seconds']['median']:.3f}",
            "" if row["peak_gib"] is None else f"{row['peak_gib']:.1f}",
        ]
        for row in report["rows"]
    ]
    width, height = prompt["picture"]
    text = (
        f"{report['machine']['name']}, {report['arguments']['dtype']}, {report['weights_gib']:.1f} GiB of weights. A picture of "
        f"{width} x {height} pixels ({prompt['image_tokens']:,} image tokens) in a prompt of {prompt['tokens']:,} tokens, an "
        f"answer of {report['arguments']['answer']} tokens in {report['arguments']['steps']} steps."
    )
    peak = "" if training["peak_gib"] is None else f", with {training['peak_gib']:.1f} GiB more than the weights"
    trained = (
        f"Training with LoRA, one row of {training['tokens']:,} tokens: "
        f"{training['tokens_per_second']['median']:,.0f} tokens/s{peak}."
    )
    return "\n\n".join([text, table(columns, rows), trained]) + "\n"

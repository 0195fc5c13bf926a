# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: masked diffusion has no reversal curse. Measured by recipes/poems/reversal.py and reversal_tiny.py."""

from evidence.command import Command, device_of
from reporting.markdown import counted, significant, table, with_interval
from reporting.plots import Plot, panel, series


TITLE = "Masked diffusion has no reversal curse"
RESULTS = {
    "paper": "evidence/paper.yaml",
    "measured": "evidence/results/reversal.json",
    "slower": "evidence/results/reversal_1e-4.json",
    "faster": "evidence/results/reversal_1e-3.json",
    "twin": "evidence/results/twin.json",
    "tiny": "evidence/results/reversal_cpu.json",
    "masked": "evidence/results/reversal_cpu_masked.json",
}
NAMES = {"llada": "LLaDA", "twin": "twin", "early": "early twin"}
ANSWERS = {"line": "the line", "couplet": "the couplet"}
WAYS = {"next": "after", "previous": "before"}
TASKS = {
    "line after, by question": ("question next",),
    "line before, by question": ("question previous",),
    "line after, by text": ("infill next", "continuation next"),
    "line before, by text": ("infill previous",),
}
OTHER_RATES = ("slower", "faster")
ALLOWED = 0.1  # the relative difference that counts as none
EARLY_STEP = 1500
TRAIN = (
    "python examples/pretrain.py --config examples/configs/poet.yaml --corpus data/poems.safetensors.xz --twin "
    f"--output-dir runs/twin --set training.eval_steps={EARLY_STEP} training.save_steps={EARLY_STEP} "
    "training.save_total_limit=20"
)
OFFICIAL = (
    "llada eval reversal --model GSAI-ML/LLaDA-8B-Instruct --pairs poem_data.json --chat-template --max-new-tokens 28"
)
TICKS = (0, 25, 50, 75, 100)


def summary(results: dict) -> str:
    found = results["measured"]
    forward, backward = (mean_of(found, "llada", "line", way) for way in WAYS)
    verdict = f"Yes, within {ALLOWED:.0%}" if abs(backward - forward) <= ALLOWED * forward else "In part"
    return (
        f"{verdict}: asked about couplets that had no questions in training, LLaDA finds {forward:.0%} of the lines after and "
        f"{backward:.0%} of the lines before; its autoregressive twins {range_of(twin_rates(found, 'next'))} and "
        f"{range_of(twin_rates(found, 'previous'))}."
    )


def paper(results: dict) -> str:
    said = results["paper"]["reversal"]
    rows = [[name, *(f"{score}" for score in scores)] for name, scores in said["scores"].items()]
    return (
        f"Exact match in percent ({said['place']}):\n\n"
        + table(["", *said["columns"]], rows)
        + "\n\nThe models of the table have read different texts. Here all models have read the same texts."
    )


def measured(results: dict) -> str:
    found, tiny, masked = results["measured"], results["tiny"], results["masked"]
    counts = found["couplets"]
    tiny_sizes = {result["parameters"] for run in tiny["seeds"].values() for result in run.values()}
    return "\n\n".join(
        [
            f"llada-poet and a Llama of the same shape, {found['models']['llada']['base']['parameters']:,} parameters each, have "
            f"read the same poems from left to right. Both are fine-tuned on questions about {counts['train']:,} famous couplets, "
            f"which line comes after and which before, and asked about {counts['test']:,} others that they have read just as "
            "often. There are two twins: one after as many tokens as LLaDA, and an *early* one, after "
            f"{significant(llada_steps(results) / EARLY_STEP)} times fewer, when it recalls a line after nearly as surely as LLaDA "
            f"does, and before it overfits ({early_loss(results):.2f} nats per token of held-out poems). Exact match of whole "
            "lines, greedy. Recall, before any question: LLaDA by infilling, a twin by going on after the first line.",
            table(
                ["", "line after", "line before"], [[NAMES[name], *recall(found, name)] for name in found["models"]]
            ),
            "By questions. The answer is the line that is asked for, or both lines in their order, because LLaDA may write the "
            "other line first. *Characters*: the share of characters of the line before that are right.",
            table(["answer", "", "seed", "line after", "line before", "characters"], question_rows(found)),
            "With other learning rates of the fine-tuning, and the line as the answer (one seed):",
            table(["learning rate", "", "line after", "line before"], rate_rows(results)),
            "Couplets that no model has read: the rank of the true line by its log-likelihood among lines of the same length and "
            f"rhyme, in {counts['ranked']:,} couplets. LLaDA scores a line by eq. 6, a twin exactly. By text a twin ranks a line "
            "before by Bayes, with the likelihood of the couplet; by question both lines are answers.",
            table(["", "asked by", "line", "mean rank", "first", "of"], rank_rows(found)),
            f"In small: two models of {max(tiny_sizes):,} parameters, trained from scratch on {tiny['couplets']} couplets and on "
            f"questions about half of them, {counted(len(tiny['seeds']), 'seed')} with couplets of their own, taken together. The "
            "other half:",
            table(["", *TASKS], tiny_rows(tiny)),
            "The same, but the questions are predicted too, as in pre-training "
            f"({counted(len(masked['seeds']), 'seed')}):",
            table(["", *TASKS], tiny_rows(masked)),
        ]
    )


def differences(results: dict) -> str:
    found = results["measured"]
    runs = [run for name in ("measured", *OTHER_RATES) for run in twin_runs(results[name])]
    most = max(point["question previous"]["mean"] for run in runs for point in run["curve"])
    after = max(run["summary"]["question next"]["exact"]["mean"] for run in runs)
    early = next(iter(found["models"]["llada"]["fine_tuned"]["line"].values()))["curve"][0]
    apart = [rate for rate, forward, backward in rate_means(results) if abs(backward - forward) > ALLOWED * forward]
    return (
        "- Still, LLaDA finds somewhat fewer lines before, and finds them later: after the first "
        f"{early['step']} steps of fine-tuning {early['question next']['mean']:.0%} of the lines after are right and "
        f"{early['question previous']['mean']:.0%} of those before.\n"
        f"- By question a twin finds at most {after:.0%} of the lines after, far less than by continuing a text. The reason was not "
        "examined. So the twins match LLaDA in recall, but not in answers to questions; the small models match in both.\n"
        f"- At any point of any fine-tuning, a twin finds at most {most:.1%} of the lines before.\n"
        + "".join(
            f"- With a learning rate of {rate:g} LLaDA's two directions differ by more than {ALLOWED:.0%}.\n"
            for rate in apart
        )
        + "- By question the twins rank unread lines before lower than lines after; by text neither kind of model does.\n"
        "- The masking matters. If questions are masked too, the small LLaDA finds "
        f"{results['masked']['held_out']['llada']['question previous']['mean']:.0%} of the lines before. Training has "
        "to leave the question unmasked, as in the fine-tuning of the paper, or it rarely has the case of the test.\n"
        "- The pairs of the paper were not asked of the official checkpoint here."
    )


def commands(results: dict) -> list[Command]:
    found, tiny, masked = (results[name] for name in ("measured", "tiny", "masked"))
    return [
        Command(
            TRAIN,
            f"the twins; then `mv runs/twin/checkpoint-{EARLY_STEP} runs/twin/early`",
            results["twin"]["train_seconds"]["twin"],
            "one H100",
        ),
        Command(found["command"], "the tables of llada-poet", found["seconds"], device_of(found["machine"])),
        *(
            Command(one["command"], "another learning rate", one["seconds"], device_of(one["machine"]))
            for one in (results[name] for name in OTHER_RATES)
        ),
        Command(tiny["command"], "the small models", tiny["seconds"], device_of(tiny["machine"])),
        Command(masked["command"], "with questions predicted", masked["seconds"], device_of(masked["machine"])),
        Command(OFFICIAL, "the official checkpoint, on the pairs of its repository"),
    ]


def llada_steps(results: dict) -> int:
    return results["twin"]["curves"]["llada"][-1]["step"]


def early_loss(results: dict) -> float:
    """The loss of the early twin on held-out poems."""
    return next(row["test"] for row in results["twin"]["curves"]["twin"] if row["step"] == EARLY_STEP)


def recall(found: dict, name: str) -> list[str]:
    """The recall of a model without questions."""
    rates = {task: one["exact"] for task, one in found["models"][name]["base"]["summary"].items()}
    return [asked(rates, TASKS[f"line {word}, by text"]) for word in WAYS.values()]


def asked(rates: dict, forms: tuple[str, ...]) -> str:
    """The rate of the first form that a model can be asked by; empty if there is none."""
    return next((percent(rates[form]) for form in forms if form in rates), "")


def question_rows(found: dict) -> list[list[str]]:
    rows = []
    for answer, words in ANSWERS.items():
        for name, entry in found["models"].items():
            for seed, run in entry["fine_tuned"][answer].items():
                rates = [percent(run["summary"][f"question {way}"]["exact"]) for way in WAYS]
                characters = percent(run["summary"]["question previous"]["characters"])
                rows.append([words, NAMES[name], seed, *rates, characters])
    return rows


def rank_rows(found: dict) -> list[list[str]]:
    """Ranks by text before the fine-tuning, and by question after it."""
    rows = []
    for name, entry in found["models"].items():
        tuned = next(run for run in entry["fine_tuned"]["line"].values() if "ranks" in run)
        for form, ranks in (("text", entry["base"]["ranks"]), ("question", tuned["ranks"])):
            for way, word in WAYS.items():
                one = ranks[f"{form} {way}"]
                cells = [with_interval(one["mean_rank"], 1), percent(one["first"]), f"{one['candidates']}"]
                rows.append([NAMES[name], form, word, *cells])
    return rows


def tiny_rows(found: dict) -> list[list[str]]:
    return [
        [NAMES[name], *(asked(rates, forms) for forms in TASKS.values())] for name, rates in found["held_out"].items()
    ]


def rate_rows(results: dict) -> list[list[str]]:
    rows = []
    for found in (results[name] for name in OTHER_RATES):
        for name, entry in found["models"].items():
            (run,) = entry["fine_tuned"]["line"].values()
            rates = [percent(run["summary"][f"question {way}"]["exact"]) for way in WAYS]
            rows.append([f"{found['settings']['learning_rate']:g}", NAMES[name], *rates])
    return rows


def rate_means(results: dict) -> list[tuple[float, float, float]]:
    """Each learning rate, and what LLaDA finds of the lines after and before."""
    reports = [results[name] for name in ("measured", *OTHER_RATES)]
    return [
        (found["settings"]["learning_rate"], *(mean_of(found, "llada", "line", way) for way in WAYS))
        for found in reports
    ]


def twin_runs(found: dict) -> list[dict]:
    """All runs of the twins."""
    twins = [entry["fine_tuned"] for name, entry in found["models"].items() if name != "llada"]
    return [run for answers in twins for seeds in answers.values() for run in seeds.values()]


def twin_rates(found: dict, way: str) -> list[float]:
    return [mean_of(found, name, "line", way) for name in found["models"] if name != "llada"]


def mean_of(found: dict, name: str, answer: str, way: str) -> float:
    """Lines found by questions with a kind of answer, over the seeds."""
    runs = found["models"][name]["fine_tuned"][answer].values()
    return sum(run["summary"][f"question {way}"]["exact"]["mean"] for run in runs) / len(runs)


def range_of(rates: list[float]) -> str:
    """The range of rates; small rates have a decimal."""
    digits = 0 if max(rates) > ALLOWED else 1
    ends = dict.fromkeys(f"{rate:.{digits}%}" for rate in (min(rates), max(rates)))
    return " to ".join(ends)


def percent(rate: dict) -> str:
    return f"{rate['mean']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}]"


def draw(figure, results: dict, theme) -> None:
    """Lines found by questions, after and before the given one: a panel for each kind of answer."""
    models = results["measured"]["models"]
    for column, (answer, words) in enumerate(ANSWERS.items()):
        place = (0.07 + 0.42 * column, 0.12, 0.35, 0.7)
        axes = panel(figure, place, f"The answer is {words}", "", "lines found, of the half without questions")
        for index, (name, entry) in enumerate(models.items()):
            summaries = [run["summary"] for run in entry["fine_tuned"][answer].values()]
            rates = [one[f"question {way}"]["exact"] for one in summaries for way in WAYS]
            values = [[100 * rate[end] for rate in rates] for end in ("mean", "low", "high")]
            places = [way + 0.14 * (index - (len(models) - 1) / 2) for _ in summaries for way in range(len(WAYS))]
            series(axes, theme, index, NAMES[name], places, *values, line=False)
        axes.set_xlim(-0.5, 1.5)
        axes.set_ylim(-3, 103)
        axes.set_xticks([0, 1], [f"line {word}" for word in WAYS.values()])
        axes.set_yticks(TICKS, [f"{tick}%" for tick in TICKS])
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=9)


PLOTS = [
    Plot(
        "reversal",
        "Share of lines found by questions, after and before the given line, with the line or the couplet as the answer: LLaDA "
        "finds both, its twins a part of the lines after alone.",
        draw,
        (8.6, 3.8),
    )
]

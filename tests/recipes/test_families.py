# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""recipes/families: the study with tiny models, and the section of the page that it makes."""

import json

import pytest
import torch


pytest.importorskip("matplotlib", reason="the claim draws with it")
pytest.importorskip("trl", reason="the recipe trains")

from support.famous_corpus import save_famous_corpus  # noqa: E402

import evidence.claim_families as claim  # noqa: E402
from evidence.__main__ import Claim  # noqa: E402
from modeling_llada.training import Corpus  # noqa: E402
from recipes.families import measuring  # noqa: E402
from recipes.families.__main__ import main  # noqa: E402
from recipes.families.measuring import Poem, poem_questions  # noqa: E402
from recipes.families.recipe import Decoding, load_recipe, make_model, sizes  # noqa: E402
from recipes.families.results import from_first, step_milliseconds  # noqa: E402
from recipes.runs import check_names  # noqa: E402
from reporting.plots import draw_themes  # noqa: E402


CONFIG = "recipes/families/families.yaml"
EXPERTS = ("num_experts=4", "moe_intermediate_size=8")
TINY = [
    "config.hidden_size=16", "config.num_hidden_layers=2", "config.num_attention_heads=2", "config.num_key_value_heads=2",
    "config.head_dim=8", "config.intermediate_size=24", "models.moe.config.moe_layer_freq=[0,1]",
    "models.moe.config.shared_expert_intermediate_size=8",
    *(f"models.{name}.config.{one}" for name in ("moe", "blocks") for one in EXPERTS),
    "training.max_steps=2", "training.tokens_per_step=384", "training.warmup_steps=1", "training.logging_steps=1",
    "measure.windows=2", "measure.noise_samples=1", "measure.couplets=2", "measure.poems=2", "measure.batch_size=2",
    "measure.timed={'1': 1}", "measure.decoding={one pass: {tokens: 32}, threshold: {confidence_threshold: 0.0001}}",
]  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return save_famous_corpus(tmp_path_factory.mktemp("families") / "corpus.safetensors", number=40)


@pytest.fixture
def run(corpus, tmp_path):
    """Runs `train` in small; more arguments may be given."""

    def train(*arguments, folder=tmp_path / "run"):
        options = ["--corpus", str(corpus), "--output-dir", str(folder), "--device", "cpu", "--set", *TINY]
        main(["train", "--config", CONFIG, *options, *arguments])
        return folder

    return train


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


class TestRecipe:
    def test_a_token_meets_as_many_weights_in_all_models(self, corpus):
        recipe, poems = load_recipe(CONFIG, None, None, []), Corpus.load(corpus)
        with torch.device("meta"):
            numbers = [sizes(make_model(recipe, name, poems)) for name in recipe.models]
        dense, moe, blocks = numbers
        assert dense["parameters"] == dense["active"] < moe["active"] == blocks["active"] < 1.01 * dense["active"]
        assert moe["parameters"] == blocks["parameters"] > 3 * dense["parameters"]

    def test_rows_fill_blocks_and_steps(self):
        recipe = load_recipe(CONFIG, None, None, [])
        widths = [entry["width"] for phase in recipe.phases for entry in phase["entries"]]
        assert all(width % recipe.measure["block_length"] == 0 for width in widths)
        assert all(recipe.training["tokens_per_step"] % width == 0 for width in widths)
        assert recipe.models["blocks"]["training"] == {"block_length": recipe.measure["block_length"]}

    def test_steps_of_a_call_or_of_a_block(self):
        assert Decoding(tokens=2).options(64) == {"steps": 32}
        assert Decoding(confidence_threshold=0.9).options(8) == {"steps": 8, "confidence_threshold": 0.9}
        assert Decoding(tokens=3).options(8) == {"steps": 3}

    def test_bad_input(self, run, tmp_path):
        with pytest.raises(ValueError, match="`--model` must be one of dense, moe, blocks, but got other"):
            check_names(["other"], ["dense", "moe", "blocks"])
        with pytest.raises(ValueError, match=r"`models\.dense\.family` must be one of llada, llada_moe, llada2"):
            run("--set", "models.dense.family=gpt")
        with pytest.raises(ValueError, match="`confidence_threshold` must be"):
            run("--set", "measure.decoding.threshold.confidence_threshold=7.0")
        with pytest.raises(ValueError, match=r"`models\.blocks\.config\.experts` is no value of a recipe"):
            run("--set", "models.blocks.config.experts=4")
        for command in (["measure"], ["collect", "--json", str(tmp_path / "results.json")]):
            with pytest.raises(
                ValueError, match=r"`--run` must be the folder of a run, but there is no .*recipe\.json"
            ):
                main([command[0], "--run", str(tmp_path), *command[1:]])

    def test_too_little_is_held_out(self, tmp_path):
        corpus = save_famous_corpus(tmp_path / "corpus.safetensors", number=5)
        values = vars(load_recipe(CONFIG, str(corpus), "", []))
        values.pop("output_dir")
        (tmp_path / "recipe.json").write_text(json.dumps(values))
        with pytest.raises(
            ValueError, match=r"`measure\.width` must be at most the tokens that .* holds out, but got 128"
        ):
            main(["measure", "--run", str(tmp_path)])


class TestMeasuring:
    def test_poems_fit_the_canvas(self):
        poems = poem_questions(10**6, prompt_tokens=32, new_tokens=64)
        assert len(poems) > 500
        assert poems[:5] == poem_questions(5, prompt_tokens=32, new_tokens=64)
        assert Poem("五言绝句《登鹳雀楼》王之涣\n白日依山尽，", "黄河入海流。欲穷千里目，更上一层楼。") in poems
        assert max(len(poem.answer) for poem in poem_questions(10**6, 32, 32)) < 32

    def test_a_poem_is_right_if_it_ends_where_it_should(self, monkeypatch):
        examiner = object.__new__(measuring.Examiner)
        examiner.measure = type("Measure", (), {"batch_size": 2})
        poems = [Poem("a", "天地。"), Poem("b", "天地。"), Poem("c", "天地。")]
        answers = iter([(["天地。", "天人。"], 7), ([""], 8)])
        monkeypatch.setattr(examiner, "complete", lambda batch, options: next(answers), raising=False)
        result = examiner.write(poems, {})
        assert result["exact"]["mean"] == pytest.approx(1 / 3, abs=1e-4) and result["passes"] == 5.0
        assert result["characters"] == pytest.approx(5 / 9, abs=1e-4) and result["tokens"] == 3.0

    def test_compiling_is_in_no_step(self):
        log = [{"step": 50, "tokens_per_second": 10}, {"eval_loss": 4.0}]
        log += [{"step": step, "tokens_per_second": 2_000} for step in (100, 150)]
        assert step_milliseconds(log, 100) == 50.0
        assert step_milliseconds([], 100) == 0.0

    def test_models_are_compared_window_by_window(self):
        models = {"dense": {"windows": [3.0, 5.0]}, "blocks": {"windows": [2.9, 4.9]}}
        difference = from_first(models, "dense")["blocks"]
        assert list(difference.values()) == pytest.approx([-0.1] * 3)
        assert models["dense"] == {"nats": pytest.approx({"mean": 4.0, "low": 3.0, "high": 5.0})}


def test_a_model_in_pieces_is_measured_and_collected(run, tmp_path, capsys):
    folder = run("--model", "blocks", "--max-minutes", "1e-6")
    assert (folder / "blocks/checkpoint-1").is_dir()
    main(["measure", "--run", str(folder), "--device", "cpu"])
    assert not (folder / "blocks.json").exists(), "a model is measured when it is done"
    with pytest.raises(ValueError, match="`output_dir` already has a run"):
        run()
    run("--model", "blocks", "--resume")
    main(["measure", "--run", str(folder), "--device", "cpu"])
    written = (folder / "blocks.json").stat().st_mtime_ns
    main(["measure", "--run", str(folder), "--device", "cpu"])
    assert (folder / "blocks.json").stat().st_mtime_ns == written, "what is measured is not measured again"
    main(["collect", "--run", str(folder), "--json", str(tmp_path / "results.json")])
    assert "with 1 of 3 models: blocks" in capsys.readouterr().out
    blocks = read(tmp_path / "results.json")["models"]["blocks"]
    assert set(blocks["recall"]) == {"blocks of 8", "blocks of 16"}
    assert set(blocks["recall"]["blocks of 8"]) == {"next", "previous"}
    # The canvas of at most 64 tokens has 8 blocks, and each way fills a block by one pass.
    assert [one["decoding"] for one in blocks["poems"]] == ["one pass", "threshold"]
    assert all(1 <= one["passes"] <= 8 for one in blocks["poems"])
    assert 8 < blocks["nats"]["mean"] < 9, "the logarithm of the vocabulary, since it was hardly trained"
    assert list(blocks["poems"][0]["tokens_per_second"]) == ["1"]


@pytest.mark.slow
def test_all_models_and_the_page(run, tmp_path):
    folder, path = run(), tmp_path / claim.RESULTS["measured"]
    main(["measure", "--run", str(folder), "--device", "cpu"])
    main(["collect", "--run", str(folder), "--json", str(path)])
    section = Claim("claim_families", tmp_path).section()
    assert "A dense LLaDA, LLaDA-MoE and LLaDA2 read the same" in section
    assert section.count("LLaDA-MoE, dual cache") == 2
    assert len(Claim("claim_families", tmp_path).pictures()) == 2


def made_up(exact, speed, cache="no cache"):
    """Poems that were written in three ways, the fast ones less exact."""
    interval = lambda mean: {"mean": mean, "low": mean - 0.04, "high": mean + 0.04}  # noqa: E731
    return [
        {
            "cache": cache, "decoding": name, "number": 256, "exact": interval(exact - loss), "passes": 30.0 / times,
            "tokens": 33.3, "tokens_per_second": {"1": speed * times, "64": 20 * speed * times},
        }
        for name, loss, times in (("one", 0.0, 1), ("two", 0.03, 2), ("four", 0.3, 4))
    ]  # fmt: skip


@pytest.fixture
def results():
    """Made-up results of the study."""
    value = lambda mean: {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}  # noqa: E731
    recall = lambda **both: {key: {"pairs": 100, "exact": value(one)} for key, one in both.items()}  # noqa: E731
    size = {"parameters": 20_500_000, "active": 6_770_000, "training_seconds": 100, "measuring_seconds": 20.0}
    size["step_ms"] = 41.26
    size["machine"] = {"name": "a GPU", "memory_gib": 80}
    recipe = {
        "expected": ["Recall: as before"],
        "training": {"max_steps": 100, "tokens_per_step": 100_000},
        "measure": {"windows": 8, "width": 128, "block_length": 8, "prompt_tokens": 32, "new_tokens": 64}
        | {"timed": {"1": 4, "64": 64}},
    }
    dense = size | {"nats": value(4.0), "recall": {"": recall(next=0.6, previous=0.5)}, "poems": made_up(0.5, 100.0)}
    ways = {"blocks of 8": recall(next=0.7, previous=0.02), "blocks of 16": recall(next=0.6, previous=0.2)}
    blocks = size | {"nats": value(3.8), "recall": ways, "poems": made_up(0.5, 300.0, "finished blocks")}
    return {
        "measured": {
            "recipe": recipe,
            "from_first": {"blocks": value(-0.2)},
            "models": {"dense": dense, "blocks": blocks},
        }
    }


class TestClaim:
    def test_the_fastest_way_is_about_as_exact_as_the_best(self, results):
        dense = results["measured"]["models"]["dense"]
        assert claim.quickest(dense, "1")["decoding"] == "two"

    def test_texts(self, results):
        said = claim.summary(results)
        assert "recalls 2.0 [1.0, 3.0]% of the lines before a given one, the dense LLaDA 50.0 [49.0, 51.0]%" in said
        assert (
            "LLaDA2 writes poems 3 times (batches of 1) and 3 times (batches of 64) as fast as the dense LLaDA" in said
        )
        text = claim.measured(results)
        assert "- Recall: as before." in text
        assert (
            "| LLaDA2 | 6.8 M | 20.5 M | 41.3 | 3.800 [3.790, 3.810] | -0.200 [-0.210, -0.190] | blocks of 8 |" in text
        )
        assert "| one | 50.0 [46.0, 54.0] (30.0) | 50.0 [46.0, 54.0] (30.0) |" in text
        assert "| one | 100 / 2,000 | 300 / 6,000 |" in text
        assert claim.paper(results) and "LLaDA-MoE was not measured" in claim.differences(results)
        assert "3 min, a GPU" in str(claim.commands(results)[0])

    def test_the_plot_has_a_panel_for_passes_and_for_each_size_of_batches(self, results):
        (plot,) = claim.PLOTS
        for svg in draw_themes(plot, results).values():
            assert all(text in svg for text in ("batches of 1<", "batches of 64<", "LLaDA2, finished blocks"))

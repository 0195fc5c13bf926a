# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada score`, on a tiny random model with the tokenizer of the shipped checkpoint."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from support.tiny_poet import SHIPPED_CHECKPOINT
from transformers import AutoTokenizer

from llada_cli import main, score
from llada_cli.scored_texts import scored_texts
from modeling_llada import LLaDAForMaskedLM


LINE, NEXT = "床前明月光，", "疑是地上霜。"


pytestmark = pytest.mark.usefixtures("tiny_poet_by_default")


@pytest.fixture(scope="module")
def poet(poet_folder):
    return LLaDAForMaskedLM.from_pretrained(poet_folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(SHIPPED_CHECKPOINT)


@pytest.fixture
def output(llada):
    """Runs `llada score`, which must succeed, and returns stdout and stderr."""
    return lambda *arguments: llada("score", *arguments)


@pytest.fixture
def scores(output):
    """Runs `llada score --json` with few samples and returns the objects."""
    return lambda *arguments: [
        json.loads(line) for line in output("--json", "--num-samples", 6, *arguments).out.splitlines()
    ]


@pytest.fixture
def expected(poet, tokenizer):
    """The score of a text whose first tokens are given."""

    def expect(text, num_given=0, num_scored=None, eos=False, seed=0, **options):
        input_ids = torch.tensor([tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] * eos])
        labels = input_ids.clone()
        labels[:, :num_given] = -100
        if num_scored is not None:
            labels[:, num_given + num_scored :] = -100
        options = {"num_samples": 6, "generator": torch.Generator().manual_seed(seed)} | options
        return poet.log_likelihood(input_ids, labels, **options)

    return expect


def agrees(result, expected):
    """Whether an object has the numbers of the library."""
    assert result["log_likelihood"] == pytest.approx(expected.log_likelihood.item(), abs=2e-3)
    assert result["standard_error"] == pytest.approx(expected.standard_error.item(), abs=2e-3)
    per_token = result["log_likelihood"] / result["num_tokens"]
    assert result["log_likelihood_per_token"] == pytest.approx(per_token, abs=1e-3)
    assert result["perplexity"] == pytest.approx(math.exp(-per_token), rel=1e-3)
    return True


class TestWhatIsScored:
    def test_whole_text(self, scores, expected):
        (result,) = scores(LINE + NEXT)
        assert (result["text"], result["scored"], result["num_tokens"]) == (LINE + NEXT, LINE + NEXT, 12)
        assert result["prompt"] is None and "rank" not in result
        assert agrees(result, expected(LINE + NEXT))

    def test_completion_of_a_prompt(self, scores, expected):
        (result,) = scores("--prompt", LINE, NEXT)
        assert (result["prompt"], result["text"], result["scored"], result["num_tokens"]) == (LINE, NEXT, NEXT, 6)
        assert agrees(result, expected(LINE + NEXT, num_given=6))

    def test_infilling(self, scores, expected):
        (result,) = scores("--infill", "床前[[明月]]光，")
        assert (result["text"], result["scored"], result["num_tokens"]) == ("床前[[明月]]光，", "明月", 2)
        assert agrees(result, expected(LINE, num_given=2, num_scored=2))

    def test_several_spans(self, scores):
        (result,) = scores("--infill", "[[床]]前明月[[光，]]")
        assert (result["scored"], result["num_tokens"]) == ("床光，", 3)

    def test_eos_is_a_scored_token(self, scores, expected):
        (result,) = scores("--prompt", LINE, NEXT, "--eos")
        assert result["num_tokens"] == 7
        assert agrees(result, expected(LINE + NEXT, num_given=6, eos=True))

    @pytest.mark.parametrize(("text", "num_tokens"), [("床[[前]]明", 1), ("床前[[明]]", 2)])
    def test_eos_is_given_where_the_last_character_is(self, scores, text, num_tokens):
        assert scores("--infill", text, "--eos")[0]["num_tokens"] == num_tokens

    def test_eos_given_behind_a_span_counts(self, scores):
        assert scores("--infill", "床[[前]]", "--seed", 1) != scores("--infill", "床[[前]]", "--seed", 1, "--eos")

    def test_a_token_with_a_scored_character_is_scored(self):
        """The prompt ends inside a token of this tokenizer."""

        def tokenize(text, return_offsets_mapping):
            assert text == "Paris is nice"
            return {"input_ids": [3, 4, 5], "offset_mapping": [(0, 5), (5, 9), (9, 13)]}

        config = SimpleNamespace(eos_token_id=0, mask_token_id=2)
        (text,) = scored_texts(["s nice"], "Paris i", infill=False)
        assert text.encode(tokenize, config, eos=True) == ([3, 4, 5, 0], [-100, 4, 5, 0])

    def test_special_tokens_of_the_tokenizer_are_given(self):
        config = SimpleNamespace(eos_token_id=0, mask_token_id=2)
        (text,) = scored_texts(["ab"], None, infill=False)
        encoded = text.encode(
            lambda *args, **kwargs: {"input_ids": [1, 7], "offset_mapping": [(0, 0), (0, 2)]}, config, eos=False
        )
        assert encoded == ([1, 7], [-100, 7])


class TestEstimate:
    def test_options_reach_the_library(self, scores, expected):
        arguments = ["--prompt", LINE, NEXT, "--num-samples", 4, "--antithetic", "--cfg-scale", 0.5, "--seed", 3]
        (result,) = scores(*arguments, "--batch-size", 3)
        options = {"num_samples": 4, "antithetic": True, "cfg_scale": 0.5, "seed": 3}
        assert agrees(result, expected(LINE + NEXT, num_given=6, **options))
        assert result["options"] | options | {"batch_size": 3} == result["options"]

    @pytest.mark.parametrize("batch_size", [1, 12, 18, 200])
    def test_neither_batch_nor_other_texts_matter(self, scores, expected, tmp_path, batch_size):
        """Texts of several lengths share a forward pass, with padding."""
        texts = [LINE, LINE + NEXT, "疑", LINE * 3]
        file = tmp_path / "texts.txt"
        file.write_text("\n".join(texts), encoding="utf-8")
        results = scores("--file", file, "--batch-size", batch_size)
        assert [result["text"] for result in results] == texts
        for result in results:
            if result["num_tokens"] > 1:
                assert agrees(result, expected(result["text"]))

    def test_default_seed_is_shown_and_fixes_it(self, output):
        first, second = output(LINE, "--num-samples", 2), output(LINE, "--num-samples", 2)
        assert first.out == second.out
        assert "2 noise samples · seed 0 · no EOS · " in first.err
        assert output(LINE, "--num-samples", 2, "--seed", 1).out != first.out

    def test_windows(self, scores, poet, tokenizer):
        (result,) = scores(LINE + NEXT, "--window", 6, "--stride", 2)
        input_ids = tokenizer(LINE + NEXT, return_tensors="pt").input_ids
        expected = poet.perplexity(input_ids, window=6, stride=2, num_samples=6, generator=torch.manual_seed(0))
        assert result["perplexity"] == pytest.approx(expected.item(), rel=1e-3)
        assert result["options"]["window"] == 6

    def test_a_text_beyond_the_context_goes_by_windows(self, scores, monkeypatch):
        seen = []

        def widths(model, input_ids, *args, **kwargs):
            seen.append(input_ids.shape[1])
            return log_likelihood(model, input_ids, *args, **kwargs)

        log_likelihood = LLaDAForMaskedLM.log_likelihood
        monkeypatch.setattr(LLaDAForMaskedLM, "log_likelihood", widths)
        assert scores(LINE * 30, "--num-samples", 1)[0]["num_tokens"] == 180
        assert seen == [128, 128]  # the context of the tiny poet; the second window scores the other 52

    def test_windows_of_a_text_do_not_depend_on_the_others(self, scores, tmp_path):
        """One of them is shorter than the stride."""
        file = tmp_path / "texts.txt"
        file.write_text(f"{LINE}\n疑\n{LINE + NEXT}\n", encoding="utf-8")
        together = scores("--file", file, "--stride", 4, "--window", 5)
        for result in together:
            assert scores(result["text"], "--stride", 4, "--window", 5)[0]["log_likelihood"] == pytest.approx(
                result["log_likelihood"], abs=2e-3
            )

    def test_a_stride_alone(self, scores, expected):
        """A text that is shorter than the context, and than the stride, is scored whole."""
        assert agrees(scores(LINE, "--stride", 50)[0], expected(LINE))

    def test_one_sample_has_no_error(self, scores, output):
        assert scores(LINE, "--num-samples", 1)[0]["standard_error"] is None
        assert "±" not in output(LINE, "--num-samples", 1).out

    def test_batch_size_fits(self):
        def fitting(vocab_size, length, cfg_scale=0.0, window=None):
            config = SimpleNamespace(
                vocab_size=vocab_size, hidden_size=4096, intermediate_size=12288, max_position_embeddings=4096
            )
            model = SimpleNamespace(config=config, device=torch.device("cpu"))
            args = SimpleNamespace(cfg_scale=cfg_scale, window=window)
            return score.fitting_batch_size(model, [([0] * length, None), ([0], None)], args)

        assert fitting(126464, 100) == fitting(126464, 9000, window=100) == 4
        assert fitting(126464, 100, cfg_scale=1.0) == 2
        assert (fitting(126464, 4096), fitting(100, 1)) == (1, 256)


class TestComparison:
    def test_completions_are_ranked(self, scores):
        results = scores("--prompt", LINE, NEXT, "举头望明月。", "白日依山尽。")
        assert [result["text"] for result in results] == [NEXT, "举头望明月。", "白日依山尽。"]
        order = sorted(results, key=lambda result: result["rank"])
        values = [result["log_likelihood"] for result in order]
        assert values == sorted(values, reverse=True)
        assert sum(result["probability_among_these"] for result in results) == pytest.approx(1, abs=1e-3)
        ratio = order[1]["probability_among_these"] / order[0]["probability_among_these"]
        assert ratio == pytest.approx(math.exp(values[1] - values[0]), abs=1e-3)

    def test_table_has_the_most_probable_first(self, output, scores):
        texts = [NEXT, "举头望明月。", "白日依山尽。"]
        lines = output("--prompt", LINE, *texts, "--num-samples", 6).out.splitlines()
        order = sorted(scores("--prompt", LINE, *texts), key=lambda result: result["rank"])
        assert lines[0].split()[0] == "rank"
        assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
        assert [line.split()[-1] for line in lines[1:]] == [result["text"] for result in order]
        assert [float(line.split()[1]) for line in lines[1:]] == pytest.approx(
            [result["log_likelihood"] for result in order], abs=0.01
        )

    def test_whole_texts_are_ranked_without_probabilities(self, scores):
        results = scores(LINE, NEXT)
        assert {result["rank"] for result in results} == {1, 2}
        assert not any("probability_among_these" in result for result in results)

    def test_a_close_call_is_said(self, output):
        assert "differ by less than two standard errors" in output(LINE, LINE, "--num-samples", 4).err
        assert "differ by less than two standard errors" not in output(LINE, LINE * 20, "--num-samples", 64).err

    def test_the_shipped_checkpoint_knows_the_poem(self, scores):
        results = scores(
            *("--prompt", LINE, "举头望明月。", NEXT, "白日依山尽。"),
            *("--model", SHIPPED_CHECKPOINT, "--antithetic", "--num-samples", 8),
        )
        assert [result["rank"] for result in results].index(1) == 1
        assert results[1]["probability_among_these"] > 0.99


class TestFiles:
    def test_blank_lines_are_skipped_and_the_order_stays(self, scores, tmp_path):
        file = tmp_path / "texts.txt"
        file.write_text(f"{LINE}\n\n  \n{NEXT}\n", encoding="utf-8")
        results = scores("--file", file)
        assert [result["text"] for result in results] == [LINE, NEXT]
        assert not any("rank" in result for result in results)

    @pytest.mark.parametrize("source", ["a file", "-"])
    def test_lines_of_windows(self, scores, pipe_in, tmp_path, source):
        """They begin with a byte order mark, and end with a carriage return."""
        text = f"\ufeff{LINE}\r\n{NEXT}\r\n"
        if source == "-":
            pipe_in(text)
        else:
            source = tmp_path / "texts.txt"
            source.write_bytes(text.encode())
        assert [result["text"] for result in scores("--file", source)] == [LINE, NEXT]

    def test_standard_input_with_a_prompt(self, scores, pipe_in):
        pipe_in(f"{NEXT}\n{LINE}\n")
        results = scores("--file", "-", "--prompt", LINE)
        assert [(result["prompt"], result["text"]) for result in results] == [(LINE, NEXT), (LINE, LINE)]

    def test_objects_are_written_as_soon_as_they_are_known(self, monkeypatch, tmp_path, capsys):
        file = tmp_path / "texts.txt"
        file.write_text(f"{LINE}\n{NEXT}\n", encoding="utf-8")
        written = []

        def watch(model, *args, **kwargs):
            written.append(capsys.readouterr().out.count("\n"))
            return log_likelihood(model, *args, **kwargs)

        log_likelihood = LLaDAForMaskedLM.log_likelihood
        monkeypatch.setattr(LLaDAForMaskedLM, "log_likelihood", watch)
        assert main(["score", "--file", str(file), "--json", "--batch-size", "1", "--num-samples", "1"]) == 0
        assert written == [0, 1]

    def test_brackets_are_no_markup(self, output, tmp_path):
        assert output("[red]床", "--num-samples", 1).out.rstrip().endswith("[red]床")


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "give the texts to score either as TEXT or with `--file`"),
            ([LINE, "--file", "x"], "give the texts to score either as TEXT or with `--file`"),
            ([LINE, "--file", ""], "give the texts to score either as TEXT or with `--file`"),
            ([""], "TEXT is empty"),
            ([LINE, "--prompt", ""], "`--prompt` is empty"),
            ([LINE, "--prompt", LINE, "--infill"], "`--infill` takes the whole text"),
            ([LINE, "--infill"], "`--infill` needs [[ and ]]"),
            (["[[床]]前[[", "--infill"], "`--infill` needs [[ and ]]"),
            ([LINE, "--prompt", LINE, "--window", "8"], "`--window` and `--stride` are for whole texts"),
            ([LINE, "--seed", "-1"], "`--seed` must be an integer in [0, 2**63)"),
            ([LINE, "--num-samples", "0"], "`num_samples`"),
            ([LINE, "--num-samples", "3", "--antithetic"], "`num_samples`"),
            ([LINE, "--batch-size", "0"], "`batch_size`"),
            ([LINE, "--cfg-scale", "-1"], "`cfg_scale`"),
            ([LINE, "--window", "0"], "`window`"),
            ([LINE, "--window", "129"], "`window`"),
            ([LINE, "--stride", "9", "--window", "8"], "`stride`"),
            (["--file", "/no/such"], "`--file` '/no/such' cannot be read: No such file"),
            (["床\udcff"], "'床\\udcff' is not UTF-8 text"),
            (["床[MASK]"], "'床[MASK]' has a mask token in the part that is scored"),
            (["--prompt", LINE * 30, NEXT], "and the context of the model has 128"),
        ],
    )
    def test_one_line(self, fail, arguments, message):
        assert message in fail("score", *arguments)

    @pytest.mark.parametrize(("data", "message"), [(b"\n \n", "has no text"), (b"\xff\xfe", "is not UTF-8 text")])
    def test_unusable_file(self, fail, tmp_path, data, message):
        (tmp_path / "texts.txt").write_bytes(data)
        assert message in fail("score", "--file", tmp_path / "texts.txt")

    def test_memory(self, fail, monkeypatch):
        def out_of_memory(*args, **kwargs):
            raise torch.OutOfMemoryError

        monkeypatch.setattr(LLaDAForMaskedLM, "log_likelihood", out_of_memory)
        assert "use a `--batch-size` below 64" in fail("score", LINE, "--batch-size", 64)

    def test_a_mask_token_may_be_given(self, scores):
        """The model does not know the token there."""
        assert scores("--prompt", "床前[MASK]月光，", NEXT)[0]["num_tokens"] == 6

    def test_unknown_characters_warn_once(self, output, tmp_path):
        file = tmp_path / "texts.txt"
        file.write_text(f"㐂床\n㐂{LINE}\n", encoding="utf-8")
        assert output("--file", file, "--num-samples", 1).err.count("does not know 㐂 and reads") == 1

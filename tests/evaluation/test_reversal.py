# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The reversal test: pairs, questions, compared answers, ranks, and the two kinds of model."""

import json
import math

import pytest
import torch
from support.tiny_poet import SHIPPED_CHECKPOINT
from transformers import AutoTokenizer

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.evaluation.intervals import mean_interval, wilson_interval
from modeling_llada.evaluation.line_ranking import (
    RankedPair,
    rank_of_first,
    rank_pairs,
    read_candidates,
    summarise_ranks,
)
from modeling_llada.evaluation.reversal import (
    Templates,
    ask_pairs,
    compare,
    pair_key,
    read_pairs,
    summarise,
    summarise_answers,
)
from modeling_llada.evaluation.reversal_models import CausalLines, LLaDALines, all_masks
from modeling_llada.training import autoregressive_twin


PAIR = ("床前明月光", "疑是地上霜")
PAIRS = [PAIR, ("春眠不觉晓", "处处闻啼鸟"), ("白日依山尽", "黄河入海流")]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(SHIPPED_CHECKPOINT)


@pytest.fixture(scope="module")
def poet(tokenizer):
    """The shipped checkpoint, which knows the pairs."""
    return LLaDALines(LLaDAForMaskedLM.from_pretrained(SHIPPED_CHECKPOINT, dtype=torch.float32).eval(), tokenizer)


@pytest.fixture(scope="module")
def twin(tokenizer, poet_folder):
    """A tiny random autoregressive model with the same tokenizer."""
    config = LLaDAForMaskedLM.from_pretrained(poet_folder).config
    config.bos_token_id = tokenizer.bos_token_id
    torch.manual_seed(0)
    return CausalLines(autoregressive_twin(config).eval(), tokenizer, max_new_tokens=8)


class Parrot:
    """Answers from a book, and finds a line the more probable the more of its characters stand in the text around it."""

    tasks = (("question", "next"), ("question", "previous"))

    def __init__(self, book):
        self.book, self.asked = book, []

    def answer(self, form, direction, pairs):
        for pair in pairs:
            self.asked.append((form, direction, pair))
            yield [pair], [self.book.get((direction, pair), "不知道")]

    def sides(self, form, direction, pair):
        return Templates().around(pair, direction)

    def score(self, before, lines, after, seed):
        return [float(sum(character in before + after for character in line)) for line in lines]


def around(model, lines):
    """The arguments of `score` for lines after the first one of the pair."""
    before, after = model.sides("text", "next", PAIR)
    return before, lines, after


class TestPairs:
    @pytest.mark.parametrize(
        "entries",
        [
            [list(pair) for pair in PAIRS],
            [{"first": first, "second": second, "source": "唐"} for first, second in PAIRS],
            [list(PAIRS[0]), [f" {PAIRS[1][0]}", f"{PAIRS[1][1]}\n"], list(PAIRS[0]), list(PAIRS[2])],
        ],
    )
    def test_both_layouts_are_read(self, tmp_path, entries):
        path = tmp_path / "pairs.json"
        text = json.dumps(entries, ensure_ascii=False)
        for start in ("", "\ufeff"):  # Windows begins a file with a byte order mark
            path.write_text(start + text, encoding="utf-8")
            assert read_pairs(path) == PAIRS

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "cannot be read"),
            ("[]", "at least one entry"),
            ('{"first": "a", "second": "b"}', "must hold a JSON list"),
            ('[["a", "b"], ["a"]]', "entry 1 is"),
            ('[["a", ""]]', "entry 0 is"),
            ('[["a", 1]]', "entry 0 is"),
            ('[{"first": "a", "last": "b"}]', "entry 0 is"),
            ('["ab"]', "entry 0 is"),
        ],
    )
    def test_other_files_are_named_with_the_entry(self, tmp_path, text, message):
        path = tmp_path / "pairs.json"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            read_pairs(path)

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(ValueError, match="cannot be read"):
            read_pairs(tmp_path / "no.json")


class TestTemplates:
    def test_the_given_line_is_in_the_question(self):
        assert Templates().question(PAIR, "next") == "床前明月光的下一句是什么？"
        assert Templates().question(PAIR, "previous") == "疑是地上霜的上一句是什么？"

    def test_the_text_of_both_lines(self):
        assert Templates().text(PAIR) == "床前明月光，疑是地上霜。"

    def test_the_text_around_the_line_that_is_asked_for(self):
        templates = Templates(document="《{first}，{second}。》")
        assert templates.around(PAIR, "next") == ("《床前明月光，", "。》")
        assert templates.around(PAIR, "previous") == ("《", "，疑是地上霜。》")

    @pytest.mark.parametrize(
        "words",
        [
            {"next": "下一句是什么？"},
            {"previous": "{line}{line}"},
            {"document": "{second}{first}"},
            {"document": "{first}"},
        ],
    )
    def test_a_place_is_missing(self, words):
        with pytest.raises(ValueError, match=f"`{next(iter(words))}` must contain"):
            Templates(**words)


class TestCompare:
    @pytest.mark.parametrize(
        ("answer", "exact", "contains", "characters"),
        [
            ("疑是地上霜", 1, 1, 1),
            ("“疑是地上霜。”", 1, 1, 1),
            ("疑是地上霜，举头望明月", 1, 1, 1),
            ("下一句是疑是地上霜", 0, 1, 0),
            ("疑是地下霜", 0, 0, 0.8),
            ("疑是", 0, 0, 0.4),
            ("疑是地上霜霜", 0, 1, 5 / 6),
            ("", 0, 0, 0),
        ],
    )
    def test_answers(self, answer, exact, contains, characters):
        expected = {"exact": exact, "contains": contains, "characters": pytest.approx(characters)}
        assert compare(answer, "疑是地上霜") == expected

    @pytest.mark.parametrize(
        ("answer", "exact"),
        [
            ("床前明月光，疑是地上霜。", 1),
            ("疑是地上霜。", 1),
            ("床前明月光，床前明月光，", 0),
            ("床前明月，疑是地上霜。", 0),
        ],
    )
    def test_an_answer_may_repeat_the_given_line(self, answer, exact):
        assert compare(answer, "疑是地上霜", given="床前明月光")["exact"] == exact

    def test_a_line_with_a_mark_in_it(self):
        assert compare("关关雎鸠，在河之洲。", "关关雎鸠，在河之洲")["exact"] == 1
        assert compare("关关雎鸠。", "关关雎鸠，在河之洲")["exact"] == 0
        assert compare("窈窕淑女：关关雎鸠，在河之洲。", "关关雎鸠，在河之洲", given="窈窕淑女")["exact"] == 1

    def test_the_direction_says_which_line_is_true(self):
        answers = {pair_key(PAIR): PAIR[1]}
        assert summarise_answers(answers, [PAIR], "next")["exact"]["mean"] == 1
        assert summarise_answers(answers, [PAIR], "previous")["exact"]["mean"] == 0


class TestIntervals:
    @pytest.mark.parametrize(("hits", "low", "high"), [(0, 0.0, 0.037), (50, 0.404, 0.596), (100, 0.963, 1.0)])
    def test_of_a_rate(self, hits, low, high):
        """The values of the usual tables, for 100 trials."""
        assert wilson_interval(hits, 100) == pytest.approx((low, high), abs=1e-3)
        with pytest.raises(ValueError, match="`hits`"):
            wilson_interval(hits, 0)

    def test_of_a_mean(self):
        half = 1.96 * math.sqrt(2.5 / 5)
        assert mean_interval([1, 2, 3, 4, 5]) == pytest.approx((3 - half, 3 + half))
        assert mean_interval([4]) == (4, 4)
        with pytest.raises(ValueError, match="`values`"):
            mean_interval([])


class TestAskPairs:
    def test_answers_are_counted_by_task(self):
        book = {("next", pair): pair[1] for pair in PAIRS} | {("previous", PAIR): PAIR[0]}
        answers = {}
        steps = list(ask_pairs(Parrot(book), PAIRS, answers))
        assert steps == [("question next", 1)] * 3 + [("question previous", 1)] * 3
        summary = summarise(answers, PAIRS)
        assert [summary[task]["exact"]["mean"] for task in summary] == [1.0, pytest.approx(1 / 3, abs=1e-4)]
        assert summary["question next"]["pairs"] == 3

    def test_what_is_known_is_not_asked_again(self):
        answers = {}
        list(ask_pairs(Parrot({}), PAIRS[:2], answers))
        known = json.loads(json.dumps(answers))
        parrot = Parrot({})
        list(ask_pairs(parrot, PAIRS, known))
        assert parrot.asked == [("question", "next", PAIRS[2]), ("question", "previous", PAIRS[2])]
        again = {}
        list(ask_pairs(Parrot({}), PAIRS, again))
        assert known == again


class TestRanks:
    @pytest.mark.parametrize(
        ("scores", "rank"), [([3, 1, 2], 1), ([1, 2, 3], 3), ([2, 2, 1], 1.5), ([1, 1, 1], 2), ([0], 1)]
    )
    def test_rank_of_the_first(self, scores, rank):
        assert rank_of_first(scores) == rank

    def test_what_is_no_number_has_no_rank(self):
        with pytest.raises(ValueError, match="`scores` must not contain NaN"):
            rank_of_first([float("nan"), -1.0])

    def test_each_direction_has_its_own_distractors(self):
        # The parrot likes lines that repeat what it sees.
        one = RankedPair(("甲乙", "甲丙"), first_distractors=("丁戊",), second_distractors=("甲乙", "丁戊"))
        ranks = {}
        list(rank_pairs(Parrot({}), [one], ranks, forms=["text"]))
        assert ranks == {"text next": {"甲乙\t甲丙": 2.0}, "text previous": {"甲乙\t甲丙": 1.0}}
        summary = summarise_ranks(ranks, [one])
        assert summary["text next"]["candidates"] == 3 and summary["text previous"]["candidates"] == 2
        assert summary["text next"]["mean_rank"]["mean"] == 2 and summary["text next"]["first"]["mean"] == 0
        assert summary["text previous"]["reciprocal_rank"]["mean"] == 1

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ({"first": "甲", "second": "乙"}, "entry 0 is"),
            ({"first": "甲", "second": "乙", "first_distractors": [], "second_distractors": ["丙"]}, "entry 0 is"),
            ({"first": "甲", "second": "乙", "first_distractors": ["甲"], "second_distractors": ["丙"]}, "true line"),
            (["甲", "乙"], "entry 0 is"),
        ],
    )
    def test_bad_candidates(self, tmp_path, entry, message):
        path = tmp_path / "candidates.json"
        path.write_text(json.dumps([entry]), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            read_candidates(path)


class TestLLaDALines:
    def test_lines_are_infilled_in_both_directions(self, poet):
        for direction, place in (("next", 1), ("previous", 0)):
            found = dict(
                zip(
                    *[sum(parts, []) for parts in zip(*poet.answer("infill", direction, PAIRS), strict=True)],
                    strict=True,
                )
            )
            assert found == {pair: pair[place] for pair in PAIRS}

    def test_a_question_gets_the_tokens_after_it(self, poet):
        short = LLaDALines(poet.model, poet.tokenizer, max_new_tokens=8)
        [(pairs, [answer])] = short.answer("question", "next", [PAIR])
        prompt = torch.tensor([poet.encode("床前明月光的下一句是什么？")])
        output = poet.model.generate(prompt, max_new_tokens=8)
        assert pairs == [PAIR] and answer == poet.decode(output[0, prompt.shape[1] :])

    def test_scores_are_the_expectation_of_eq_6(self, poet):
        """A score over all masks is what the Monte-Carlo estimate converges to."""
        lines = ["疑是地上霜", "低头思故乡"]
        exact = poet.score(*around(poet, lines))
        texts = torch.tensor([poet.encode(f"床前明月光，{line}。") for line in lines])
        labels = texts.clone()
        labels[:, :6] = labels[:, -1] = -100
        generators = [torch.Generator().manual_seed(0) for _ in lines]
        estimate = poet.model.log_likelihood(texts, labels, num_samples=64, batch_size=64, generator=generators)
        errors = 3 * estimate.standard_error + 1e-3
        assert ((torch.tensor(exact) - estimate.log_likelihood).abs() < errors).all()
        assert exact[0] > exact[1]

    def test_sampled_scores_share_their_noise(self, poet):
        sampled = LLaDALines(poet.model, poet.tokenizer, num_samples=4)
        lines = ["疑是地上霜", "低头思故乡", "疑是地上霜"]
        scores = sampled.score(*around(poet, lines), seed=3)
        assert scores[0] == pytest.approx(scores[2], abs=1e-4) and scores[0] > scores[1]
        assert scores == pytest.approx(sampled.score(*around(poet, lines), seed=3))

    def test_an_answer_is_ranked_as_it_would_be_written(self, poet, twin):
        """Behind the question, with EOS in the rest of the canvas; the twin ends with one EOS."""
        end = poet.tokenizer.eos_token_id
        asked = poet.encode("疑是地上霜的上一句是什么？")
        short = LLaDALines(poet.model, poet.tokenizer, max_new_tokens=8)
        assert short.sides("question", "previous", PAIR) == (asked, [end] * 3)
        assert twin.sides("question", "previous", PAIR) == ([twin.tokenizer.bos_token_id, *asked], [end])

    def test_a_ranked_question_is_a_chat_where_an_asked_one_is(self, poet_folder):
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        tokenizer.chat_template = "问{{ messages[0].content }}答"
        lines = LLaDALines(LLaDAForMaskedLM.from_pretrained(poet_folder), tokenizer, chat_template=True)
        before, _ = lines.sides("question", "next", PAIR)
        assert before == lines.prompt("question", "next", PAIR)[0] == lines.encode("问床前明月光的下一句是什么？答")

    def test_weights_of_all_masks(self):
        """The weights of masks of `l` tokens add up to `1 / l`: each `l` is as likely, and the loss is times `L / l`, over L."""
        mask, weights = all_masks(4)
        assert len({tuple(row) for row in mask.tolist()}) == 15
        for count in range(1, 5):
            assert weights[mask.sum(-1) == count].sum().item() == pytest.approx(1 / count)


class TestCausalLines:
    def test_a_line_is_continued_from_bos(self, twin):
        [(pairs, [answer])] = twin.answer("continuation", "next", [PAIR])
        ids = torch.tensor([[twin.tokenizer.bos_token_id, *twin.encode("床前明月光，")]])
        for _ in range(6):
            ids = torch.cat([ids, twin.model(ids).logits[:, -1:].argmax(-1)], dim=1)
        assert pairs == [PAIR] and answer == twin.decode(ids[0, 7:])

    @pytest.mark.parametrize("direction", ["next", "previous"])
    def test_scores_are_likelihoods_of_the_rest_of_the_text(self, twin, direction):
        """With that, previous lines are ranked by Bayes: p(first) p(second | first)."""
        before, after = twin.templates.around(PAIR, direction)
        lines = ["疑是地上霜", "床前明月光", "低头思故乡", "黄河"]
        ids_before, ids_after = twin.sides("text", direction, PAIR)
        scores = twin.score(ids_before, lines, ids_after)
        for line, score in zip(lines, scores, strict=True):
            ids = torch.tensor([[twin.tokenizer.bos_token_id, *twin.encode(before + line + after)]])
            log_probs = twin.model(ids).logits.float().log_softmax(-1)[0, :-1].gather(-1, ids[0, 1:, None])[:, 0]
            assert score == pytest.approx(log_probs[len(before) :].sum().item(), abs=1e-3)

    def test_batches_change_nothing(self, twin):
        alone = {pair: text for pair in PAIRS for _, [text] in twin.answer("question", "previous", [pair])}
        together = {}
        for pairs, texts in twin.answer("question", "previous", PAIRS):
            together |= dict(zip(pairs, texts, strict=True))
        assert alone == together

    def test_it_needs_a_token_before_the_text(self, twin):
        from copy import deepcopy

        model = deepcopy(twin.model)
        model.config.bos_token_id = None
        with pytest.raises(ValueError, match="bos_token_id"):
            CausalLines(model, twin.tokenizer)

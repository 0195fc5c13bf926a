# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""LLaDA as a model of lm-evaluation-harness, with a tiny random model and with the shipped poet."""

import json
import sys
from pathlib import Path

import pytest
import torch


pytest.importorskip("lm_eval", reason="needs the extra `eval`")

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager
from support.harness_runs import TASKS, write_answers
from support.processes import run_together
from support.tiny_llada2 import tiny_llada2
from support.word_tokenizer import save_word_model, word_tokenizer
from transformers import AutoTokenizer

import modeling_llada.evaluation
from modeling_llada import LLaDAForMaskedLM
from modeling_llada.evaluation import LLaDAHarnessLM
from modeling_llada.evaluation.stop_strings import cut_answer
from modeling_llada.seeds import content_generator
from modeling_llada.serving import BatchedDecoder


REPO = Path(__file__).parents[2]
POET = REPO / "checkpoints" / "llada-poet"
LINE, NEXT = "床前明月光，", "疑是地上霜"


@pytest.fixture(scope="module")
def poet():
    """The shipped checkpoint, which knows the couplets."""
    return LLaDAForMaskedLM.from_pretrained(POET, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(POET)


@pytest.fixture(autouse=True)
def no_report_of_the_machine(monkeypatch):
    """The harness runs a dozen commands to describe the machine, which takes seconds each time."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)


@pytest.fixture(scope="module")
def tasks():
    return TaskManager(include_path=str(TASKS), include_defaults=False)


def lm_of(poet, **options):
    """A loaded model for the harness."""
    model, tokenizer = poet
    return LLaDAHarnessLM(model, tokenizer=tokenizer, **{"num_samples": 4, **options})


@pytest.fixture
def make_lm(tiny_poet):
    """Makes the tiny poet a model of the harness."""
    return lambda **options: lm_of(tiny_poet, **options)


@pytest.fixture
def make_poet_lm(poet):
    """Makes the shipped poet a model of the harness."""
    return lambda **options: lm_of(poet, **options)


class ForwardPasses(list):
    """The number of sequences in each forward pass of a model. It can interrupt the run in one of them."""

    interrupt_at = None

    def __call__(self, model, args, kwargs):
        self.append(len(args[0] if args else kwargs["input_ids"]))
        if len(self) == self.interrupt_at:
            raise KeyboardInterrupt

    def restart(self, interrupt_at=None):
        self.clear()
        self.interrupt_at = interrupt_at


@pytest.fixture
def passes(poet):
    """The forward passes of the poet."""
    passes = ForwardPasses()
    handle = poet[0].register_forward_pre_hook(passes, with_kwargs=True)
    yield passes
    handle.remove()


def requests_of(kind, *arguments):
    return [Instance(kind, {}, one, index, ("task", index, 1)) for index, one in enumerate(arguments)]


def log_probs_of(poet, text, position=-1):
    """The log-probabilities at one mask of a text."""
    model, tokenizer = poet
    input_ids = tokenizer(text, return_tensors="pt").input_ids
    masks = (input_ids[0] == model.config.mask_token_id).nonzero()[:, 0]
    with torch.no_grad():
        return model(input_ids=input_ids).logits[0, masks[position]].log_softmax(-1)


class TestTasks:
    def test_the_poet_knows_the_couplets(self, make_poet_lm, tasks):
        lm = make_poet_lm(block_length=8, check_greedy=False)
        results = simple_evaluate(
            lm, tasks=["poet_next_line", "poet_next_line_choice"], task_manager=tasks, bootstrap_iters=0
        )
        assert results["results"]["poet_next_line_choice"]["acc,none"] == 1.0
        # One line ends with a question mark, which the task does not expect.
        assert results["results"]["poet_next_line"]["exact_match,none"] == 7 / 8
        assert results["config"]["llada"]["num_samples"] == 4

    def test_prompts_can_be_chats(self, make_lm, tasks):
        lm = make_lm()
        options = {"task_manager": tasks, "limit": 1, "bootstrap_iters": 0, "system_instruction": "五言绝句"}
        results = simple_evaluate(lm, tasks=["poet_next_line"], apply_chat_template=True, **options)
        prompt = results["samples"]["poet_next_line"][0]["arguments"][0][0]
        assert prompt == lm.apply_chat_template(
            [{"role": "system", "content": "五言绝句"}, {"role": "user", "content": LINE}]
        )
        assert prompt.endswith(LINE) and prompt != LINE

    def test_two_processes_give_the_answers_of_one(self, poet_folder, tmp_path):
        write_answers(poet_folder, tmp_path / "one.json")
        run_together(write_answers, poet_folder, tmp_path / "two.json")
        one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
        assert (one.pop("processes"), two.pop("processes")) == (1, 2)
        assert one["poet_next_line"] == two["poet_next_line"]
        for choices, others in zip(one["poet_next_line_choice"], two["poet_next_line_choice"], strict=True):
            for (score, greedy), (other, other_greedy) in zip(choices, others, strict=True):
                assert score == pytest.approx(other, abs=1e-3) and greedy == other_greedy


class TestChoices:
    """`decode_choices=True`."""

    def test_the_answers_are_those_of_likelihoods(self, make_poet_lm, tasks, passes):
        """The poet knows the couplets, and a question takes a pass for each token instead of some for each choice."""
        options = {"tasks": ["poet_next_line_choice"], "task_manager": tasks, "bootstrap_iters": 0, "limit": 3}
        results = {}
        for decodes in (False, True):
            passes.restart()
            lm = make_poet_lm(decode_choices=decodes, check_greedy=False)
            results[decodes] = simple_evaluate(lm, **options)
            results[decodes]["rows"] = sum(passes)
        assert [found["results"]["poet_next_line_choice"]["acc,none"] for found in results.values()] == [1.0, 1.0]
        assert (
            results[True]["config"]["llada"]["decode_choices"] and results[True]["rows"] < results[False]["rows"] / 3
        )
        for one in results[True]["samples"]["poet_next_line_choice"]:
            assert sorted(score for [(score, _)] in one["resps"]) == [-100.0, -100.0, -100.0, 0.0]

    def test_the_batch_changes_nothing(self, make_lm):
        """Neither do choices of other lengths, which end early."""
        questions = {
            LINE: [NEXT, "低头思故乡", "霜"],
            "白日依山尽，": ["黄河入海流", "更上一层楼"],
            "春眠": ["不觉", "处处闻"],
        }
        requests = [
            Instance("loglikelihood", {}, (context, choice), index, ("task", document, 1))
            for document, (context, choices) in enumerate(questions.items())
            for index, choice in enumerate(choices)
        ]
        together = make_lm(decode_choices=True, batch_size=8).loglikelihood(requests)
        assert make_lm(decode_choices=True, batch_size=1).loglikelihood(requests[::-1])[::-1] == together
        assert sum(greedy for _, greedy in together) == 3

    def test_a_text_alone_has_a_likelihood(self, make_lm):
        """A question without choices, and choices without a question, which the harness asks for too."""
        requests = requests_of("loglikelihood", (LINE, NEXT), ("", NEXT))
        assert make_lm(decode_choices=True).loglikelihood(requests) == make_lm().loglikelihood(requests)

    @pytest.mark.parametrize("choices", [(" sat", " sat on the mat"), ("Paris", "the city")])
    def test_spaces(self, tmp_path, choices):
        """Where the tokens of words have the space in front, and decoding removes the first one."""
        lm = LLaDAHarnessLM(str(save_word_model(tmp_path)), device="cpu", decode_choices=True)
        requests = [
            Instance("loglikelihood", {}, (context, choice), 0, ("task", context, 1))
            for context in ("the cat", "the mat ")
            for choice in choices
        ]
        assert sum(greedy for _, greedy in lm.loglikelihood(requests)) == 2


class TestLikelihood:
    PAIRS = [(LINE, NEXT), (LINE, "低头思故乡"), ("白日依山尽，", "黄河入海流。"), ("春眠不觉晓", "，"), ("", "春眠")]

    def test_a_score_depends_neither_on_the_batch_nor_on_the_order(self, make_lm):
        requests = requests_of("loglikelihood", *self.PAIRS)
        together = make_lm(batch_size=64).loglikelihood(requests)
        alone = [make_lm(batch_size=1).loglikelihood([request])[0] for request in requests]
        reversed_order = make_lm(batch_size=9).loglikelihood(requests[::-1])[::-1]
        for other in (alone, reversed_order):
            assert [score for score, _ in other] == pytest.approx([score for score, _ in together], abs=1e-3)
            assert [greedy for _, greedy in other] == [greedy for _, greedy in together]

    def test_the_seed_changes_the_noise(self, make_lm):
        requests = requests_of("loglikelihood", (LINE, "低头思故乡"))
        assert make_lm(seed=0).loglikelihood(requests) != make_lm(seed=1).loglikelihood(requests)

    def test_one_token_is_exact_and_all_choices_share_a_forward_pass(self, make_poet_lm, poet, passes):
        context, characters = LINE + "疑是地上", "霜光月山"
        requests = requests_of("loglikelihood", *[(context, character) for character in characters])
        results = make_poet_lm(batch_size=1).loglikelihood(requests)
        assert passes == [1]
        log_probs = log_probs_of(poet, context + "[MASK]")
        assert log_probs.exp().sum().item() == pytest.approx(1.0, abs=1e-5)
        expected = [log_probs[token].item() for token in poet[1](characters).input_ids]
        assert [score for score, _ in results] == pytest.approx(expected, abs=1e-4)
        assert [greedy for _, greedy in results] == [True, False, False, False]

    @pytest.mark.parametrize("cfg_scale", [0.0, 1.5])
    def test_one_token_has_the_score_of_the_estimator(self, make_lm, tiny_poet, cfg_scale):
        model, tokenizer = tiny_poet
        input_ids = tokenizer("床前明月霜", return_tensors="pt").input_ids
        labels = input_ids.masked_fill(torch.arange(5) < 4, -100)
        expected = model.log_likelihood(input_ids, labels, num_samples=1, cfg_scale=cfg_scale).log_likelihood.item()
        [(score, _)] = make_lm(cfg_scale=cfg_scale).loglikelihood(requests_of("loglikelihood", ("床前明月", "霜")))
        assert score == pytest.approx(expected, abs=1e-4)

    def test_two_tokens_come_close_to_enumeration(self, make_lm, tiny_poet):
        """Eq. 6 with `L = 2`: half of the time both are masked, else one of them, with weight 2."""
        first, second = tiny_poet[1]("地霜").input_ids
        both = [log_probs_of(tiny_poet, LINE + "[MASK][MASK]", position) for position in (0, 1)]
        one = log_probs_of(tiny_poet, LINE + "[MASK]霜")[first] + log_probs_of(tiny_poet, LINE + "地[MASK]")[second]
        exact = (both[0][first] + both[1][second] + one).item() / 2
        lm = make_lm(num_samples=512, antithetic=True, batch_size=256, check_greedy=False)
        [(score, greedy)] = lm.loglikelihood(requests_of("loglikelihood", (LINE, "地霜")))
        assert score == pytest.approx(exact, rel=0.05)
        assert greedy is False

    def test_greedy_is_what_filling_one_token_a_step_gives(self, make_poet_lm, passes):
        requests = requests_of("loglikelihood", (LINE, NEXT), (LINE, "低头思故乡"))
        results = make_poet_lm(num_samples=1).loglikelihood(requests)
        assert [greedy for _, greedy in results] == [True, False]
        # One forward pass a score and, together, at most one for each token.
        assert len(passes) <= 1 + len(NEXT)

    def test_a_space_at_the_end_of_the_context_belongs_to_the_answer(self, make_lm):
        one, other = make_lm().loglikelihood(requests_of("loglikelihood", ("床前 ", "明月"), ("床前", " 明月")))
        assert one == other

    def test_an_empty_answer_is_certain(self, make_lm):
        assert make_lm().loglikelihood(requests_of("loglikelihood", (LINE, ""))) == [(0.0, True)]

    def test_a_long_context_is_cropped_on_the_left(self, poet_folder):
        lm = LLaDAHarnessLM(str(poet_folder), num_samples=2)
        context, answer = LINE * 50, NEXT
        crop = (LINE * 50)[-(lm.max_length - len(answer)) :]
        long, short = lm.loglikelihood(requests_of("loglikelihood", (context, answer), (crop, answer)))
        assert long == pytest.approx(short)
        with pytest.raises(ValueError, match="does not fit into `max_position_embeddings=128`"):
            lm.loglikelihood(requests_of("loglikelihood", (LINE, NEXT * 50)))

    def test_rolling_is_the_perplexity_of_the_whole_text(self, poet_folder):
        lm = LLaDAHarnessLM(str(poet_folder), num_samples=2)
        text = (LINE + NEXT) * 20  # longer than the context of 128 tokens
        [score, empty] = lm.loglikelihood_rolling(requests_of("loglikelihood_rolling", (text,), ("",)))
        input_ids = lm.tokenizer(text, return_tensors="pt").input_ids
        generator = content_generator(0, "loglikelihood_rolling", input_ids[0].tolist())
        perplexity = lm.model.perplexity(input_ids, num_samples=2, generator=generator).item()
        assert torch.tensor(-score / 220).exp().item() == pytest.approx(perplexity)
        assert empty == 0.0

    def test_blocks(self, tiny_poet):
        """A model of blocks is scored by its blocks: by one pass for an answer of one token, and else by its likelihood."""
        tokenizer = tiny_poet[1]
        special = {name: getattr(tokenizer, name) for name in ("mask_token_id", "eos_token_id", "pad_token_id")}
        model = tiny_llada2(vocab_size=len(tokenizer), **special)
        model.generation_config.block_length = 4
        lm = LLaDAHarnessLM(model, tokenizer=tokenizer, num_samples=64)
        for answer in ("疑", "疑是"):
            [(score, greedy)] = lm.loglikelihood(requests_of("loglikelihood", (LINE + "举", answer)))
            ids = tokenizer(LINE + "举" + answer, return_tensors="pt", add_special_tokens=False).input_ids
            labels = ids.clone()
            labels[:, : -len(answer)] = -100
            generator = torch.Generator().manual_seed(0)
            scores = model.log_likelihood(ids, labels, num_samples=512, generator=generator)
            assert score == pytest.approx(scores.log_likelihood.item(), rel=0.05 if len(answer) > 1 else 1e-4)
            assert not greedy


class TestGenerateUntil:
    def test_a_completion_depends_neither_on_the_batch_nor_on_the_order(self, make_lm):
        """Also where it is drawn: each request has its own noise."""
        options = {"until": ["。"], "max_gen_toks": 12, "do_sample": True, "temperature": 1.0}
        prompts = [LINE, "白日依山尽，黄河入海流。", "春眠"]
        requests = requests_of("generate_until", *[(prompt, options) for prompt in prompts])
        together = make_lm(batch_size=8).generate_until(requests)
        assert [make_lm(batch_size=1).generate_until([one])[0] for one in requests] == together
        assert make_lm(batch_size=2).generate_until(requests[::-1])[::-1] == together
        assert make_lm(seed=1).generate_until(requests) != together

    def test_a_prompt_joins_the_batch_when_another_leaves_it(self, make_poet_lm, passes):
        """Two rows at once: the short answers share the passes of the long one. In batches these and the pairs would take 44."""
        lengths = [32, 4, 4, 4, 4, 4, 4]
        requests = requests_of("generate_until", *[(LINE, {"until": "\n", "max_gen_toks": each}) for each in lengths])
        long, *short = make_poet_lm(batch_size=2, block_length=4).generate_until(requests)
        assert len(passes) <= 32 and long.startswith(NEXT) and len(set(short)) == 1

    def test_drafts_share_passes_from_beginning_to_end(self, make_poet_lm, passes):
        requests = requests_of("generate_until", *[(line, {"max_gen_toks": 12}) for line in (LINE, "白日依山尽，")])
        plain = make_poet_lm().generate_until(requests)
        num_plain = len(passes)
        assert make_poet_lm(draft_steps=2).generate_until(requests) == plain
        assert len(passes) - num_plain <= num_plain

    def test_tokens_that_are_taken_back_leave_batches_whole(self, make_poet_lm, passes):
        requests = requests_of("generate_until", *[(LINE, {"max_gen_toks": 12})] * 2)
        lm = make_poet_lm(confidence_threshold=0.4, reopen_threshold=0.5)
        (alone,), num_alone = lm.generate_until(requests[:1]), len(passes)
        assert lm.generate_until(requests) == [alone] * 2
        assert len(passes) == 2 * num_alone

    def test_repetitions_of_a_request_are_different_samples(self, make_lm):
        [request] = requests_of("generate_until", ("春", {"max_gen_toks": 12, "do_sample": True, "temperature": 1.0}))
        assert len({*make_lm().generate_until([request] * 4)}) > 1

    def test_a_stop_string_saves_forward_passes_and_changes_nothing(self, make_poet_lm, poet, passes):
        requests = requests_of("generate_until", (LINE, {"until": "。", "max_gen_toks": 20}))
        [text] = make_poet_lm(block_length=4).generate_until(requests)
        assert len(passes) <= 8  # two blocks of five
        model, tokenizer = poet
        prompt = tokenizer(LINE, return_tensors="pt")
        whole = model.generate(**prompt, max_new_tokens=20, block_length=4, stop_at_eos=False)[0, len(LINE) :]
        assert text == tokenizer.decode(whole).split("。")[0] == NEXT

    def test_stop_strings_of_the_model_are_added_to_those_of_the_task(self, make_poet_lm):
        requests = requests_of("generate_until", (LINE, {"until": "霜", "max_gen_toks": 12}))
        answers = [
            make_poet_lm(block_length=4, stop_strings=own).generate_until(requests) for own in (["上"], "望", None)
        ]
        assert answers == [["疑是地"], ["疑是地上"], ["疑是地上"]]

    def test_a_row_that_stops_does_not_stop_the_others(self, make_poet_lm):
        options = {"until": ["霜"], "max_gen_toks": 32}
        requests = requests_of("generate_until", (LINE, options), ("白日依山尽，", options))
        first, second = make_poet_lm(block_length=8).generate_until(requests)
        assert first == "疑是地上"
        assert second == "黄河入海流。"

    @pytest.fixture
    def options_of(self, make_lm, monkeypatch):
        """The options that `generate` gets, for options of the model and of a task."""

        def run(asked, **options):
            lm, seen = make_lm(**options), {}

            def generate(decoder, calls, ordered):
                seen.update(*calls)
                yield from ()

            with monkeypatch.context() as patch:
                patch.setattr(BatchedDecoder, "generate", generate)
                lm.generate_until(requests_of("generate_until", (LINE, asked)))
            for name in ("input_ids", "attention_mask", "generator", "tokenizer", "stop_strings"):
                del seen[name]
            return seen

        return run

    def test_options_of_the_model_win_over_those_of_the_task(self, options_of):
        asked = {"until": ["。"], "max_gen_toks": 32, "do_sample": False, "temperature": 0.7, "steps": 4}
        assert options_of(asked) == {"max_new_tokens": 32, "do_sample": False, "temperature": 0.0, "steps": 4}
        own = {"max_new_tokens": 8, "temperature": 0.5, "cfg_scale": 1.0}
        assert options_of(asked, **own) == {"steps": 4, **own}

    @pytest.mark.parametrize(
        ("asked", "length", "temperature"),
        [
            ({"max_tokens": 12}, 12, 0.0),
            ({"max_completion_tokens": "12"}, 12, 0.0),
            ({"max_gen_toks": 5, "max_new_tokens": 9}, 5, 0.0),
            ({"max_gen_toks": 5, "temperature": "0.5", "until": None}, 5, 0.5),
            ({"max_gen_toks": 5, "temperature": 0.5, "do_sample": False}, 5, 0.0),
            ({"max_gen_toks": 5, "do_sample": True, "num_beams": 1, "top_p": 1.0}, 5, 1.0),
        ],
    )
    def test_options_of_a_task_mean_what_they_mean_in_the_harness(
        self, options_of, tiny_poet, asked, length, temperature
    ):
        config = tiny_poet[0]._merge_generation_config(None, options_of(asked))
        assert (config.max_new_tokens, config.sampling_temperature) == (length, temperature)

    def test_an_empty_prompt_begins_with_the_first_token_of_a_text(self, make_lm):
        options = {"max_gen_toks": 4}
        empty, same, other = make_lm().generate_until(
            requests_of("generate_until", *[(text, options) for text in ("", "<|startoftext|>", LINE)])
        )
        assert empty == same != other

    def test_without_a_length_the_default_of_the_harness_is_used(self, options_of):
        with pytest.raises(ValueError, match="must leave room for a prompt.* but got 256"):
            options_of({})  # the tiny model has room for 128

    def test_an_option_that_nobody_has_is_an_error(self, make_lm):
        with pytest.raises(ValueError, match="gen_length"):
            make_lm(gen_length=8)

    def test_a_task_that_cannot_run_is_refused_before_any_work(self, make_poet_lm, passes):
        options = [{"max_gen_toks": 4}, {"max_gen_toks": 4, "num_beams": 10}]
        with pytest.raises(ValueError, match="num_beams"):
            make_poet_lm().generate_until(requests_of("generate_until", *[(LINE, one) for one in options]))
        assert not passes


class TestStopStrings:
    def test_the_text_is_cut_at_what_comes_first(self, tiny_poet):
        tokenizer = tiny_poet[1]
        tokens = tokenizer("疑是<|startoftext|>地上霜。举<|endoftext|>头").input_ids
        assert cut_answer(tokenizer, tokens, 0, ["。"], [0]) == "疑是地上霜"
        assert cut_answer(tokenizer, tokens, 0, ["望"], [0]) == "疑是地上霜。举"
        assert cut_answer(tokenizer, tokens, 0, ["<|startoftext|>", "。"], [0]) == "疑是"

    def test_the_first_word_keeps_its_space(self):
        words = word_tokenizer()
        tokens = words("the cat sat on").input_ids
        assert cut_answer(words, tokens, 2, [" on"], []) == " sat"


class TestCache:
    @pytest.mark.parametrize("task", ["poet_next_line", "poet_next_line_choice"])
    def test_an_interrupted_run_goes_on_where_it_stopped(self, poet_folder, tasks, tmp_path, task):
        options = {"tasks": [task], "task_manager": tasks, "limit": 4, "bootstrap_iters": 0}
        lm = LLaDAHarnessLM(str(poet_folder), device="cpu", batch_size=1, num_samples=2, max_new_tokens=4)
        passes = ForwardPasses()
        lm.model.register_forward_pre_hook(passes, with_kwargs=True)
        expected = simple_evaluate(lm, **options)["samples"][task]
        all_passes = len(passes)

        options["use_cache"] = str(tmp_path / "answers")
        passes.restart(interrupt_at=all_passes // 2)
        with pytest.raises(KeyboardInterrupt):
            simple_evaluate(lm, **options)
        for most in (0.8 * all_passes, 0):  # what is left, and then nothing
            passes.restart()
            samples = simple_evaluate(lm, **options)["samples"][task]
            assert len(passes) <= most
            assert [sample["resps"] for sample in samples] == [sample["resps"] for sample in expected]


class TestArguments:
    def test_a_loaded_model_needs_its_tokenizer(self, tiny_poet):
        with pytest.raises(ValueError, match="needs a `tokenizer`"):
            LLaDAHarnessLM(tiny_poet[0])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"batch_size": "auto"}, "`batch_size`"),
            ({"num_samples": 3, "antithetic": True}, "`num_samples` must be even"),
            ({"steps": 0}, "`steps`"),
            ({"tokenizer": "?"}, "`tokenizer` is for a loaded"),
        ],
    )
    def test_a_wrong_one_is_an_error_before_the_weights_are_read(self, options, message):
        with pytest.raises(ValueError, match=message):
            LLaDAHarnessLM("no/such/folder", **options)

    def test_an_adapter_is_merged(self, make_poet_lm):
        adapter = str(POET.parent / "llada-poet-instruct")
        requests = requests_of("loglikelihood", ("春", "风"))
        by_itself = LLaDAHarnessLM(adapter, device="cpu").loglikelihood(requests)
        beside = LLaDAHarnessLM(str(POET), peft=adapter, device="cpu").loglikelihood(requests)
        assert by_itself == beside != make_poet_lm().loglikelihood(requests)

    def test_it_is_registered_by_its_name(self):
        from lm_eval.api.registry import get_model

        assert get_model("llada") is LLaDAHarnessLM

    def test_without_the_harness_the_extra_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "lm_eval", None)
        monkeypatch.setitem(sys.modules, "lm_eval.api.instance", None)
        monkeypatch.delitem(sys.modules, "modeling_llada.evaluation.harness")
        with pytest.raises(ImportError, match=r"pip install -e '\.\[eval\]'"):
            modeling_llada.evaluation.LLaDAHarnessLM  # noqa: B018
        assert modeling_llada.evaluation.load_settings().models

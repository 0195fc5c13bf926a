# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Tasks of lm-evaluation-harness with pictures, on the golden checkpoint of LLaDA-V."""

import pytest
import torch


pytest.importorskip("lm_eval", reason="needs the extra `eval`")

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager
from PIL import Image
from support.golden_v import FOLDER
from support.harness_runs import TASKS

from modeling_llada import LLaDAVForConditionalGeneration, LLaDAVProcessor
from modeling_llada.evaluation import LLaDAHarnessLM
from modeling_llada.evaluation.stop_strings import cut_answer
from modeling_llada.seeds import content_generator


@pytest.fixture(scope="module")
def model():
    return LLaDAVForConditionalGeneration.from_pretrained(FOLDER, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def processor():
    return LLaDAVProcessor.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def tasks():
    return TaskManager(include_path=str(TASKS), include_defaults=False)


@pytest.fixture(scope="module")
def docs(tasks):
    """The questions. In its samples the harness keeps digests in the place of pictures."""
    return [*tasks.load(["picture_color"])["tasks"]["picture_color"].test_docs()]


@pytest.fixture
def make_lm(model, processor):
    """Makes the golden checkpoint a model of the harness."""
    return lambda **options: LLaDAHarnessLM(model, tokenizer=processor, **{"num_samples": 4, **options})


@pytest.fixture(autouse=True)
def no_report_of_the_machine(monkeypatch):
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)


def picture(width, height, color):
    return Image.new("RGB", (width, height), color)


RED, GREEN, BLUE = picture(100, 60, "red"), picture(45, 140, "green"), picture(64, 64, "blue")
QUESTION, BOTH, TEXT = "<image>What color?", "First <image>, then <image>?", "What color is grass?"
PROMPTS = [(QUESTION, [RED]), (QUESTION, [GREEN]), (BOTH, [BLUE, RED]), (TEXT, [])]
DECODING = {"until": ["\n"], "max_gen_toks": 8}


def requests_of(kind, *rows):
    """Requests `(text, argument, images)` as a task makes them: without images there is no third argument."""
    return [
        Instance(kind, {}, (text, more, {"visual": images}) if images else (text, more), index, ("task", index, 1))
        for index, (text, more, images) in enumerate(rows)
    ]


def evaluate(lm, tasks, name, **options):
    options = {"task_manager": tasks, "bootstrap_iters": 0, **options}
    return simple_evaluate(lm, tasks=[name], **options)["samples"][name]


class TestTasks:
    def test_answers_are_those_of_the_model_alone(self, make_lm, model, processor, tasks, docs):
        """A batch has pictures of unequal sizes, one of its prompts has two."""
        samples = evaluate(make_lm(batch_size=8), tasks, "picture_color", apply_chat_template=True)
        assert len(samples) == len(docs) == 5
        for sample, doc in zip(samples, docs, strict=True):
            texts = doc["question"].split("<image>")
            content = [{"type": "text", "text": texts[0]}]
            for image, text in zip(doc["images"], texts[1:], strict=True):
                content += [{"type": "image", "image": image}, {"type": "text", "text": text}]
            chat = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
            inputs = processor.apply_chat_template([{"role": "user", "content": content}], **chat)
            tokens = model.generate(**inputs, max_new_tokens=8)[0].tolist()
            answer = cut_answer(processor.tokenizer, tokens, inputs["input_ids"].shape[1], ["\n"], [302])
            assert sample["resps"] == [[answer]]

    def test_likelihoods_are_those_of_the_model_alone(self, make_lm, model, processor, tasks, docs):
        """An answer of one token exactly, one of several within the error of the two estimates."""
        estimate = {"num_samples": 16, "batch_size": 64, "antithetic": True}
        samples = evaluate(make_lm(**estimate, check_greedy=False), tasks, "picture_choice")
        for sample, doc in zip(samples, docs, strict=True):
            inputs = processor(text=doc["question"], images=doc["images"], return_tensors="pt")
            question = inputs["input_ids"]
            for [(score, _)], choice in zip(sample["resps"], ["r", "g", "red"], strict=False):
                answer = torch.tensor([processor.tokenizer(choice).input_ids])
                inputs["input_ids"] = torch.cat([question, answer], dim=1)
                inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
                labels = torch.cat([torch.full_like(question, -100), answer], dim=1)
                alone = model.log_likelihood(**inputs, labels=labels, **estimate)
                error = 1e-3 if len(choice) == 1 else 6 * alone.standard_error.item()
                assert score == pytest.approx(alone.log_likelihood.item(), abs=error)

    def test_an_interrupted_run_goes_on_where_it_stopped(self, make_lm, model, tasks, tmp_path):
        """The harness finds an answer that it kept by the pixels of the pictures."""
        towers = []
        handle = model.model.vision_tower.register_forward_pre_hook(lambda module, args: towers.append(len(args[0])))
        options = {"use_cache": str(tmp_path / "answers"), "limit": 2}
        first = evaluate(make_lm(), tasks, "picture_color", **options)
        assert towers
        towers.clear()
        again = evaluate(make_lm(), tasks, "picture_color", **options)
        handle.remove()
        assert not towers and [one["resps"] for one in first] == [one["resps"] for one in again]

    def test_a_model_of_text_is_refused(self, tiny_poet, tasks):
        model, tokenizer = tiny_poet
        lm = LLaDAHarnessLM(model, tokenizer=tokenizer)
        assert not lm.MULTIMODAL
        with pytest.raises(ValueError, match="require multimodal input"):
            evaluate(lm, tasks, "picture_color")

    def test_a_checkpoint_brings_its_processor(self, tasks):
        lm = LLaDAHarnessLM(str(FOLDER), device="cpu", num_samples=2)
        assert lm.MULTIMODAL and isinstance(lm.processor, LLaDAVProcessor)
        assert len(evaluate(lm, tasks, "picture_color", limit=1)) == 1


class TestBatches:
    """A request has the result that it has alone: with other images, without images, in any order."""

    def test_answers(self, make_lm):
        options = DECODING | {"do_sample": True, "temperature": 1.0}
        requests = requests_of("generate_until", *[(text, options, images) for text, images in PROMPTS])
        together = make_lm(batch_size=8).generate_until(requests)
        assert [make_lm(batch_size=1).generate_until([one])[0] for one in requests] == together
        assert make_lm(batch_size=2).generate_until(requests[::-1])[::-1] == together

    @pytest.mark.parametrize("cfg_scale", [0.0, 1.5])
    def test_likelihoods(self, make_lm, cfg_scale):
        rows = [(text, choice, images) for text, images in PROMPTS for choice in ("r", " green", "")]
        requests = requests_of("loglikelihood", *rows)
        together = make_lm(batch_size=16, cfg_scale=cfg_scale).loglikelihood(requests)
        alone = [make_lm(batch_size=1, cfg_scale=cfg_scale).loglikelihood([one])[0] for one in requests]
        assert [score for score, _ in together] == pytest.approx([score for score, _ in alone], abs=1e-3)
        assert [greedy for _, greedy in together] == [greedy for _, greedy in alone]

    def test_pictures_count_beside_the_text(self, make_lm):
        rows = [(QUESTION, choice, [image]) for choice in ("r", " green") for image in (RED, GREEN)]
        scores = [score for score, _ in make_lm().loglikelihood(requests_of("loglikelihood", *rows))]
        assert len({*scores}) == 4
        request = requests_of("loglikelihood_rolling", ("red", None, []))[0]
        request.arguments = (QUESTION, {"visual": [RED]})
        other = Instance("loglikelihood_rolling", {}, (QUESTION, {"visual": [GREEN]}), 1, ("task", 1, 1))
        assert len({*make_lm().loglikelihood_rolling([request, other])}) == 2

    @pytest.mark.parametrize("cfg_text_only", [False, True])
    def test_one_token_has_the_score_of_the_estimator(self, make_lm, model, processor, cfg_text_only):
        guided = {"cfg_scale": 1.5, "cfg_text_only": cfg_text_only}
        lm = make_lm(**guided)
        [(score, _)] = lm.loglikelihood(requests_of("loglikelihood", (BOTH, "r", [BLUE, RED])))
        inputs = processor(text=BOTH + "r", images=[BLUE, RED], return_tensors="pt")
        labels = torch.full_like(inputs["input_ids"], -100)
        labels[:, -1] = inputs["input_ids"][:, -1]
        expected = model.log_likelihood(**inputs, labels=labels, num_samples=1, **guided).log_likelihood.item()
        assert score == pytest.approx(expected, abs=1e-3)

    def test_the_greedy_answer_is_found_out(self, make_lm, model, processor):
        inputs = processor(text=QUESTION, images=[GREEN], return_tensors="pt")
        tokens = model.generate(
            **inputs, max_new_tokens=3, skip_after_eos=False, stop_at_eos=False, suppress_tokens=None
        )
        answer = processor.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :])
        rows = [(QUESTION, text, [GREEN]) for text in (answer, answer[::-1])]
        results = make_lm().loglikelihood(requests_of("loglikelihood", *rows))
        assert len(processor.tokenizer(answer).input_ids) == 3
        assert [greedy for _, greedy in results] == [True, False]

    def test_the_seed_is_that_of_the_text_and_its_pictures(self, make_lm, model, processor):
        """Text alone keeps the noise that it always had."""
        lm = make_lm()
        [(score, _)] = lm.loglikelihood(requests_of("loglikelihood", (TEXT, " green", [])))
        context, answer = lm._encode_pair(TEXT, " green")
        labels = torch.tensor([[-100] * len(context) + answer])
        generator = content_generator(0, "loglikelihood", context, answer)
        expected = model.log_likelihood(torch.tensor([context + answer]), labels, num_samples=4, generator=generator)
        assert score == pytest.approx(expected.log_likelihood.item(), abs=1e-4)


class TestPrompts:
    def test_a_picture_stands_apart_in_a_chat(self, make_lm):
        history = [{"role": "user", "content": QUESTION}]
        text = make_lm(prompt_suffix=" /no_think").apply_chat_template(history)
        assert "user<|end_header_id|>\n\n<image>\nWhat color? /no_think<|eot_id|>" in text
        assert text.endswith("assistant<|end_header_id|>\n\n")
        assert history[0]["content"] == QUESTION

    def test_a_beginning_of_the_answer_stays_open(self, make_lm):
        history = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "It is"}]
        text = make_lm(prompt_suffix=" /think").apply_chat_template(history, add_generation_prompt=False)
        assert "What color? /think<|eot_id|>" in text and text.endswith("\n\nIt is")

    def test_a_suffix_needs_a_chat(self, make_lm, tasks):
        with pytest.raises(ValueError, match="`prompt_suffix=' /think'` follows the question in a chat"):
            evaluate(make_lm(prompt_suffix=" /think"), tasks, "picture_color", limit=1)
        samples = evaluate(make_lm(prompt_suffix=" /think"), tasks, "picture_color", limit=1, apply_chat_template=True)
        assert samples[0]["arguments"][0][0].count(" /think<|eot_id|>") == 1

    def test_without_a_picture_the_placeholder_is_text(self, make_lm, processor):
        """A question about HTML, for instance."""
        text = "What is <image> or <video>?"
        [answer] = make_lm().generate_until(requests_of("generate_until", (text, DECODING, [])))
        letters = processor.tokenizer(text, split_special_tokens=True).input_ids
        assert isinstance(answer, str) and not {320, 321} & {*letters}
        [(score, _)] = make_lm().loglikelihood(requests_of("loglikelihood", (text, "<image>", [])))
        assert score < 0

    @pytest.mark.parametrize("images", [[RED], [RED, GREEN, BLUE]])
    def test_pictures_and_placeholders_that_do_not_match(self, make_lm, images):
        for kind, more in (("generate_until", DECODING), ("loglikelihood", "red")):
            with pytest.raises(
                ValueError, match=f"task has a prompt with 2 `<image>` and {len(images)} images.*num_fewshot"
            ):
                getattr(make_lm(), kind)(requests_of(kind, (BOTH, more, images)))

    def test_one_picture_and_none(self, make_lm):
        """`doc_to_image` may also give an image that is in no list, or nothing."""
        [request] = requests_of("generate_until", (QUESTION, DECODING, [RED]))
        request.arguments[2]["visual"] = RED
        assert make_lm().generate_until([request]) == make_lm().generate_until(
            requests_of("generate_until", (QUESTION, DECODING, [RED]))
        )
        request.arguments = (TEXT, DECODING, {"visual": None})
        assert make_lm().generate_until([request]) == make_lm().generate_until(
            requests_of("generate_until", (TEXT, DECODING, []))
        )

    def test_a_choice_without_its_question_has_no_picture(self, make_lm):
        """The harness asks so for mutual information."""
        scores = make_lm().loglikelihood(requests_of("loglikelihood", ("", "red", [RED]), ("", "red", [])))
        assert scores[0] == scores[1]

    def test_sounds_are_refused(self, make_lm):
        [request] = requests_of("generate_until", (QUESTION, DECODING, [RED]))
        request.arguments[2]["audio"] = [b"?"]
        with pytest.raises(ValueError, match="task has sounds"):
            make_lm().generate_until([request])

    def test_a_damaged_picture_is_refused_before_any_work(self, make_lm, model, tmp_path, monkeypatch):
        (tmp_path / "picture.png").write_bytes(b"\x89PNG")
        monkeypatch.setattr(model, "forward", lambda *args, **kwargs: pytest.fail("a forward pass"))
        rows = [(QUESTION, DECODING, [image]) for image in (RED, str(tmp_path / "picture.png"))]
        with pytest.raises(ValueError, match=r"picture\.png"):
            make_lm().generate_until(requests_of("generate_until", *rows))

# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The published settings are complete and well-formed, and are found by name."""

import pytest

from modeling_llada import LLaDAGenerationConfig
from modeling_llada.evaluation import load_settings
from modeling_llada.evaluation.published_settings import TASKS_FOLDER


@pytest.fixture(scope="module")
def settings():
    return load_settings()


LIKELIHOOD_OPTIONS = {"num_samples", "antithetic", "cfg_scale", "check_greedy"}
LLADA_V = "GSAI-ML/LLaDA-V"


class TestFile:
    def test_each_model_has_a_setting_for_each_benchmark_or_a_reason(self, settings):
        assert len(settings.models) == 4 and len(settings.benchmarks) == 2 * 17
        covered = {(one.model, one.benchmark) for one in settings.settings}
        assert covered.isdisjoint(settings.gaps)
        of_text, of_images = [*settings.benchmarks][:17], [*settings.benchmarks][17:]
        assert covered | {*settings.gaps} == {
            (model, name) for model in settings.models for name in (of_images if model == LLADA_V else of_text)
        }
        assert all(reason.endswith(".") for reason in settings.gaps.values())

    def test_one_token_a_step_and_whole_blocks(self, settings):
        for one in settings.settings:
            if "num_samples" not in one.options and one.model != LLADA_V:  # it is decoded, not scored
                assert one.options["steps"] == one.options["max_new_tokens"]
                assert one.options["max_new_tokens"] % one.options["block_length"] == 0
                assert one.options["block_length"] == one.options["steps"] or one.name == "blocks"

    def test_the_number_of_examples_is_that_of_the_paper_which_does_not_have_llada_1_5(self, settings):
        shots = {one.model: set() for one in settings.settings}
        for one in settings.settings:
            shots[one.model].add(one.num_fewshot)
        assert shots.pop("GSAI-ML/LLaDA-1.5") == {None} and shots.pop(LLADA_V) == {0}
        assert set.union(*shots.values()) == {0, 3, 4, 5}
        assert settings.find("GSAI-ML/LLaDA-8B-Instruct", "math").num_fewshot == 0
        assert settings.find("GSAI-ML/LLaDA-8B-Base", "math").num_fewshot == 4

    def test_options_are_those_of_the_harness(self, settings):
        """Whatever is not at hand is no option of the setting."""
        for one in settings.settings:
            decoding = {name: value for name, value in one.options.items() if name != "prompt_suffix"}
            known = LIKELIHOOD_OPTIONS if "num_samples" in one.options else {*vars(LLaDAGenerationConfig(**decoding))}
            others = {name for values in one.differs.values() for name in values}
            assert {*one.options, *one.not_at_hand, *others} <= known | {"subset", "num_fewshot", "prompt_suffix"}
            assert {*one.options}.isdisjoint(one.not_at_hand)

    def test_other_sources_have_other_values(self, settings):
        for one in settings.settings:
            settled = {**one.options, "num_fewshot": one.num_fewshot}
            for values in one.differs.values():
                assert values and all(settled.get(name) != value for name, value in values.items())

    def test_scores_are_percentages_and_names_are_unique(self, settings):
        for one in settings.settings:
            assert one.scores or one.model == LLADA_V, "no source was read for some benchmarks of LLaDA-V"
            assert all(isinstance(score, float) and 0 < score <= 100 for score in one.scores.values())
            assert type(one.num_fewshot) in (int, type(None)) and (one.num_fewshot or 0) >= 0
            assert all(isinstance(text, str) for text in (one.name, one.task, one.source))
            assert isinstance(one.metric, str) is (one.toolkit == "lm-eval")
        assert len({(one.model, one.benchmark, one.name) for one in settings.settings}) == len(settings.settings)

    @pytest.mark.slow
    def test_the_harness_has_all_tasks(self, settings):
        tasks = pytest.importorskip("lm_eval.tasks").TaskManager(include_path=str(TASKS_FOLDER)).all_tasks
        assert {one.task for one in settings.settings if one.toolkit == "lm-eval"} <= {*tasks}
        assert {one.task for one in settings.settings if one.toolkit == "lmms-eval"}.isdisjoint(tasks)


class TestImages:
    """The settings of LLaDA-V: short answers, or longer ones behind " /think"."""

    def test_lengths_and_steps(self, settings):
        found = [one for one in settings.settings if one.model == LLADA_V]
        assert len(found) == 18 and all(one.apply_chat_template for one in found)
        for one in found:
            options = one.options
            assert options["block_length"] == options["max_new_tokens"]
            assert options["max_new_tokens"] // options["steps"] == (2 if options["max_new_tokens"] > 16 else 1)
            is_reasoning = one.benchmark in ("mathvista_testmini", "mathverse_testmini_vision")
            assert options["prompt_suffix"] == (" /think" if is_reasoning else " /no_think")
            assert ("stop_strings" in options) is (one.benchmark == "chartqa")

    def test_answers_end_with_eot_and_never_with_eos(self, settings):
        for one in (one for one in settings.settings if one.model == LLADA_V):
            assert one.options["eos_token_id"] == 126348 and one.options["skip_after_eos"]
            assert one.options["suppress_tokens"] == [126080, 126081, 126346, 126347]

    def test_six_scores_were_read(self, settings):
        scores = {one.benchmark: [*one.scores.values()] for one in settings.settings if one.model == LLADA_V}
        assert sum(map(len, scores.values())) == 6 and scores["mmmu_val"] == [48.78] and scores["mme"] == []

    def test_what_the_harness_has(self, settings):
        has = {one.benchmark for one in settings.settings if one.model == LLADA_V and one.toolkit == "lm-eval"}
        assert has == {"mmmu_val", "chartqa"}


class TestFind:
    def test_the_headline_setting_is_found_by_benchmark_or_task_or_folder(self, settings):
        instruct = "GSAI-ML/LLaDA-8B-Instruct"
        setting = settings.find(instruct, "math")
        assert (setting.name, setting.task) == ("length-512", "minerva_math")
        assert setting == settings.find(instruct, "minerva_math") == settings.find("/models/LLaDA-8B-Instruct", "math")
        assert settings.find(instruct, "math", "blocks").scores["OpenCompass"] == 42.7
        assert settings.find(instruct, "mmlu").task == "mmlu_generative"

    def test_what_was_not_published_is_not_found(self, settings):
        assert settings.find("GSAI-ML/LLaDA-1.5", "mmlu") is None
        assert settings.find("checkpoints/llada-poet", "gsm8k") is None
        with pytest.raises(ValueError, match="`setting` must be one of length-512, blocks"):
            settings.find("GSAI-ML/LLaDA-8B-Instruct", "gsm8k", "block")

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


class TestFile:
    def test_each_model_has_a_setting_for_each_benchmark_or_a_reason(self, settings):
        assert len(settings.models) == 3 and len(settings.benchmarks) == 17
        covered = {(one.model, one.benchmark) for one in settings.settings}
        assert covered.isdisjoint(settings.gaps)
        assert covered | {*settings.gaps} == {
            (model, name) for model in settings.models for name in settings.benchmarks
        }
        assert all(reason.endswith(".") for reason in settings.gaps.values())

    def test_one_token_a_step_and_whole_blocks(self, settings):
        for one in settings.settings:
            if "num_samples" not in one.options:  # it is decoded, not scored
                assert one.options["steps"] == one.options["max_new_tokens"]
                assert one.options["max_new_tokens"] % one.options["block_length"] == 0
                assert one.options["block_length"] == one.options["steps"] or one.name == "blocks"

    def test_the_number_of_examples_is_that_of_the_paper_which_does_not_have_llada_1_5(self, settings):
        shots = {one.model: set() for one in settings.settings}
        for one in settings.settings:
            shots[one.model].add(one.num_fewshot)
        assert shots.pop("GSAI-ML/LLaDA-1.5") == {None}
        assert set.union(*shots.values()) == {0, 3, 4, 5}
        assert settings.find("GSAI-ML/LLaDA-8B-Instruct", "math").num_fewshot == 0
        assert settings.find("GSAI-ML/LLaDA-8B-Base", "math").num_fewshot == 4

    def test_options_are_those_of_the_harness(self, settings):
        """Whatever is not at hand is no option of the setting."""
        for one in settings.settings:
            known = (
                LIKELIHOOD_OPTIONS if "num_samples" in one.options else {*vars(LLaDAGenerationConfig(**one.options))}
            )
            others = {name for values in one.differs.values() for name in values}
            assert {*one.options, *one.not_at_hand, *others} <= known | {"subset", "num_fewshot"}
            assert {*one.options}.isdisjoint(one.not_at_hand)

    def test_other_sources_have_other_values(self, settings):
        for one in settings.settings:
            settled = {**one.options, "num_fewshot": one.num_fewshot}
            for values in one.differs.values():
                assert values and all(settled.get(name) != value for name, value in values.items())

    def test_scores_are_percentages_and_names_are_unique(self, settings):
        for one in settings.settings:
            assert one.scores and all(isinstance(score, float) and 0 < score <= 100 for score in one.scores.values())
            assert type(one.num_fewshot) in (int, type(None)) and (one.num_fewshot or 0) >= 0
            assert all(isinstance(text, str) for text in (one.name, one.task, one.metric))
        assert len({(one.model, one.benchmark, one.name) for one in settings.settings}) == len(settings.settings)

    @pytest.mark.slow
    def test_the_harness_has_all_tasks(self, settings):
        tasks = pytest.importorskip("lm_eval.tasks").TaskManager(include_path=str(TASKS_FOLDER)).all_tasks
        assert {one.task for one in settings.settings} <= {*tasks}


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

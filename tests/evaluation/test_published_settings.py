# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The published settings: complete, well-formed, and found by name."""

import pytest
import yaml

from modeling_llada.evaluation import load_settings
from modeling_llada.evaluation.published_settings import SETTINGS_FILE, TASKS_FOLDER


@pytest.fixture(scope="module")
def settings():
    return load_settings()


@pytest.fixture
def changed(tmp_path):
    """The settings with a change of the file, which is given its content."""

    def load(change):
        document = yaml.safe_load(SETTINGS_FILE.read_text(encoding="utf-8"))
        change(document)
        path = tmp_path / "settings.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return load_settings(path)

    return load


class TestPublishedSettings:
    def test_each_model_has_a_setting_for_each_benchmark_or_a_reason(self, settings):
        assert len(settings.models) == 3 and len(settings.paper_benchmarks) == 15
        covered = {(one.model, one.benchmark) for one in settings.settings}
        assert covered.isdisjoint(settings.gaps)
        assert covered | {*settings.gaps} == {
            (model, name) for model in settings.models for name in settings.benchmarks
        }
        assert all(reason.endswith(".") for reason in settings.gaps.values())

    def test_one_token_a_step_and_whole_blocks(self, settings):
        for one in settings.settings:
            if not one.scores_likelihood:
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

    def test_what_another_source_says_is_kept(self, settings):
        base, instruct = "GSAI-ML/LLaDA-8B-Base", "GSAI-ML/LLaDA-8B-Instruct"
        assert settings.find(base, "gsm8k").differs == {"eval_llada_lm_eval.sh": {"num_fewshot": 5}}
        assert settings.find(base, "mbpp").differs == {"paper": {"num_fewshot": 4}}
        assert settings.find(instruct, "math", "blocks").differs == {"paper": {"block_length": 32}}
        assert settings.find(base, "mmlu").differs == {}

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

    @pytest.mark.slow
    def test_the_harness_has_all_tasks(self, settings):
        tasks = pytest.importorskip("lm_eval.tasks").TaskManager(include_path=str(TASKS_FOLDER)).all_tasks
        assert {one.task for one in settings.settings} <= {*tasks}


class TestChecks:
    BASE = "GSAI-ML/LLaDA-8B-Base"

    def gsm8k(self, document):
        return document["models"][self.BASE]["benchmarks"]["gsm8k"][0]

    def test_the_file_itself_passes(self, changed, settings):
        assert changed(lambda document: None) == settings

    def test_a_model_must_not_forget_a_benchmark(self, changed):
        with pytest.raises(ValueError, match="`benchmarks` of GSAI-ML/LLaDA-8B-Base must have the keys"):
            changed(lambda document: document["models"][self.BASE]["benchmarks"].pop("gsm8k"))

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("shots", 5, "must have the keys"),
            ("options", {"max_new_tokens": 8, "gen_length": 8}, r"unknown ones.*gen_length"),
            ("options", {"max_new_tokens": 8, "num_samples": 8}, r"unknown ones.*max_new_tokens"),
            ("options", {"max_new_tokens": -8}, "`max_new_tokens` must be"),
            ("not_at_hand", ["steps"], "ones that are not at hand"),
            ("not_at_hand", ["examples"], "unknown ones"),
            ("num_fewshot", -1, "`num_fewshot` of a setting .* must be an integer of at least 0, but got -1"),
            ("num_fewshot", 2.5, "`num_fewshot`"),
            ("num_fewshot", "4", "`num_fewshot`"),
            ("num_fewshot", True, "`num_fewshot`"),
            ("differs", {"paper": {"num_fewshot": 4}}, "`differs` of a setting .* other values than the setting"),
            ("differs", {"paper": {"num_fewshot": -4}}, "`num_fewshot`"),
            ("differs", {"paper": {"shots": 5}}, "`differs`"),
            ("differs", {"paper": {}}, "`differs`"),
            ("scores", {"EVAL.md": 703}, "must be numbers in"),
            ("scores", {}, "must be numbers in"),
            ("metric", 1, "`metric` of a setting"),
        ],
    )
    def test_a_setting_is_checked(self, changed, field, value, message):
        with pytest.raises(ValueError, match=message):
            changed(lambda document: self.gsm8k(document).update({field: value}))

    def test_names_are_different(self, changed):
        def repeat(document):
            settings = document["models"][self.BASE]["benchmarks"]["gsm8k"]
            settings.append(settings[0])

        with pytest.raises(ValueError, match="different names"):
            changed(repeat)

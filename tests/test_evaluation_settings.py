# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The published settings: complete, well-formed, and found by name."""

import pytest
import yaml

from modeling_llada.evaluation import load_settings
from modeling_llada.evaluation.settings import SETTINGS_FILE


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

    def test_a_length_that_is_known_is_that_of_the_steps_where_these_are_known(self, settings):
        """EVAL.md: steps = length in every setting of one block."""
        for one in settings.settings:
            if "steps" in one.options:
                assert one.options["steps"] == one.options["max_new_tokens"] == one.options["block_length"]
            elif not one.scores_likelihood:
                assert {"steps", "max_new_tokens"} & {*one.not_at_hand}

    def test_the_headline_setting_is_found_by_benchmark_or_task_or_folder(self, settings):
        instruct = "GSAI-ML/LLaDA-8B-Instruct"
        setting = settings.find(instruct, "math")
        assert (setting.name, setting.task) == ("one-block", "minerva_math")
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
        tasks = pytest.importorskip("lm_eval.tasks").TaskManager().all_tasks
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

# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The model card of an export, and what it is written from."""

import json

import huggingface_hub
import pytest
from support.official_folder import change_json, read_json
from support.tiny_llada2 import tiny_llada2

from modeling_llada.export import export_checkpoint


class TestModelCard:
    def test_written(self, official, out):
        export_checkpoint(official, out, license="mit", base_model="GSAI-ML/LLaDA-8B-Instruct", name="me/my-llada")
        card = huggingface_hub.ModelCard.load(out / "README.md")
        data = card.data.to_dict()
        assert data.pop("tags")[:2] == ["llada", "masked-diffusion"]
        assert data == {
            "library_name": "transformers",
            "pipeline_tag": "text-generation",
            "license": "mit",
            "base_model": "GSAI-ML/LLaDA-8B-Instruct",
        }
        assert 'AutoModel.from_pretrained("me/my-llada", dtype="auto", trust_remote_code=True)' in card.text
        assert "| `max_new_tokens` | `128` |" in card.text and "182,720 parameters" in card.text
        assert "apply_chat_template" in card.text

    def test_names_the_paper_of_the_family(self, tmp_path):
        tiny_llada2().save_pretrained(tmp_path / "tiny")
        export_checkpoint(tmp_path / "tiny", tmp_path / "out", include_tokenizer=False)
        assert "([LLaDA2.0](https://huggingface.co/papers/2512.15745))" in (tmp_path / "out/README.md").read_text()

    @pytest.mark.parametrize("layout", ["transformers", "official"])
    def test_its_snippet_runs(self, official, out, layout, monkeypatch, capsys):
        change_json(official / "config.json", max_sequence_length=512)
        export_checkpoint(official, out, layout=layout)
        card = (out / "README.md").read_text()
        # For the tokenizer too: its Auto class looks at the config first, and would ask before it runs code.
        assert card.count("trust_remote_code=True)") == (2 if layout == "transformers" else 0)
        monkeypatch.chdir(out.parent)
        exec(card.split("```python\n")[1].split("```")[0], {})
        assert capsys.readouterr().out.strip()

    def test_one_that_is_there_is_kept(self, official, out):
        (official / "README.md").write_text("---\nlicense: mit\n---\n# 模型\n", encoding="utf-8")
        with pytest.raises(ValueError, match="`license` and `base_model` are for a new model card"):
            export_checkpoint(official, out, license="apache-2.0")
        exported = export_checkpoint(official, out)
        assert (out / "README.md").read_bytes() == (official / "README.md").read_bytes()
        assert "model card: kept" in exported.notes

    def test_one_of_the_other_layout_is_kept_with_a_note(self, official, out, tmp_path):
        export_checkpoint(official, tmp_path / "ours")
        exported = export_checkpoint(tmp_path / "ours", out, layout="official")
        assert any("model card: kept, but it says trust_remote_code" in note for note in exported.notes)
        again = export_checkpoint(tmp_path / "ours", out, overwrite=True)
        assert "model card: kept" in again.notes

    def test_prompt_fields_are_carried_along(self, official, out):
        fields = {"fields": [{"name": "style", "help": "style of the text"}]}
        (official / "prompt_fields.json").write_text(json.dumps(fields), encoding="utf-8")
        export_checkpoint(official, out)
        assert read_json(out / "prompt_fields.json") == fields

    def test_a_card_that_is_no_text(self, official, out):
        (official / "README.md").write_bytes(b"\xff\xfe")
        with pytest.raises(ValueError, match="has a README.md that is not UTF-8 text"):
            export_checkpoint(official, out)

    def test_options_that_are_left_out_are_said(self, official, out):
        (official / "generation_config.json").write_text('{"steps": 64, "num_beams": 4, "top_k": 0}')
        (note,) = (note for note in export_checkpoint(official, out).notes if note.startswith("generation config"))
        assert "left out" in note and "num_beams" in note
        assert read_json(out / "generation_config.json")["steps"] == 64
        assert "| `steps` | `64` |" in (out / "README.md").read_text()

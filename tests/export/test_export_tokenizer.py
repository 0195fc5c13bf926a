# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tokenizer and the chat template of an export."""

import pytest
from support.official_folder import CHATML, OFFICIAL_TEMPLATE, change_json, official_tokenizer, read_json
from support.tiny_poet import SHIPPED_CHECKPOINT
from transformers import AutoTokenizer

from modeling_llada.export import export_checkpoint


CHAT = [
    {"role": "user", "content": " Hi "},
    {"role": "assistant", "content": "Hello.\n"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "See you."},
]


class TestTokenizer:
    def test_the_mask_token_is_declared(self, official, out):
        assert AutoTokenizer.from_pretrained(official).mask_token_id is None
        exported = export_checkpoint(official, out)
        tokenizer = AutoTokenizer.from_pretrained(out)
        assert (tokenizer.mask_token, tokenizer.mask_token_id, len(tokenizer)) == ("<|mdm_mask|>", 319, 320)
        assert tokenizer("a<|mdm_mask|>").input_ids[-1] == 319
        assert "mask token: <|mdm_mask|> (319)" in exported.notes
        how_it_was_loaded = {"is_local", "local_files_only"}
        assert not how_it_was_loaded & read_json(out / "tokenizer_config.json").keys()

    def test_from_elsewhere(self, official, out, tmp_path):
        official_tokenizer().save_pretrained(tmp_path / "tokenizer")
        for path in official.glob("*token*"):
            path.unlink()
        with pytest.raises(ValueError, match="no tokenizer.*--tokenizer PATH_OR_ID"):
            export_checkpoint(official, out)
        export_checkpoint(official, out, tokenizer=tmp_path / "tokenizer")
        assert AutoTokenizer.from_pretrained(out).mask_token_id == 319

    def test_none(self, official, out):
        exported = export_checkpoint(official, out, include_tokenizer=False)
        assert not list(out.glob("*token*")) and not (out / "chat_template.jinja").exists()
        assert "and no tokenizer." in (out / "README.md").read_text() and "tokenizer: none" in exported.notes[0]

    @pytest.mark.parametrize(
        "fields, message",
        [
            ({"embedding_size": 330, "mask_token_id": 325}, "no token of this id"),
            (
                {"embedding_size": 310, "vocab_size": 310, "mask_token_id": 309},
                "320 tokens and the embedding 310 rows",
            ),
        ],
        ids=["no such id", "too many tokens"],
    )
    def test_it_must_fit_the_model(self, official, out, fields, message):
        change_json(official / "config.json", **fields)
        with pytest.raises(ValueError, match=message):
            export_checkpoint(official, out)

    def test_another_mask_token(self, official, out):
        change_json(official / "tokenizer_config.json", mask_token="<|reserved0|>")
        with pytest.raises(ValueError, match=r"`mask_token_id` .* is 319, .* '<\|reserved0\|>' as its mask token"):
            export_checkpoint(official, out)


class TestChatTemplate:
    @pytest.fixture
    def export(self, official, out):
        """Exports with a template, and returns the exported tokenizer and the note about the template."""

        def run(template, headers=True):
            for name in ("chat_template.jinja", "tokenizer_config.json"):
                (official / name).unlink(missing_ok=True)
            official_tokenizer(template, headers).save_pretrained(official)
            notes = export_checkpoint(official, out).notes
            return AutoTokenizer.from_pretrained(out), next(note for note in notes if note.startswith("chat template"))

        return run

    @pytest.mark.parametrize("template", [OFFICIAL_TEMPLATE, None], ids=["replaced", "added"])
    def test_ours(self, export, template):
        tokenizer, note = export(template)
        assert ("replaced" if template else "added") in note
        for turns in (CHAT[:1], CHAT[:3], CHAT, [{"role": "system", "content": "Be brief."}, *CHAT[:1]]):
            texts = [
                tokenizer.apply_chat_template(turns, chat_template=text, add_generation_prompt=True, tokenize=False)
                for text in (OFFICIAL_TEMPLATE, None)
            ]
            assert texts[0] == texts[1]
        prompt = "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        assert tokenizer.apply_chat_template(CHAT[:1], add_generation_prompt=False, tokenize=False) == prompt
        header = "<|start_header_id|>assistant<|end_header_id|>\n\n"
        assert tokenizer.apply_chat_template(CHAT[:1], add_generation_prompt=True, tokenize=False) == prompt + header

    def test_marks_say_what_the_assistant_wrote(self, export):
        tokenizer, _ = export(OFFICIAL_TEMPLATE)
        encoded = tokenizer.apply_chat_template(CHAT, return_dict=True, return_assistant_tokens_mask=True)
        written = [i for i, mark in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mark]
        assert tokenizer.decode(written) == "Hello.<|eot_id|>See you.<|eot_id|><|endoftext|>"
        # The text of a chat that ends with an answer is that of the official template.
        official_text = tokenizer.apply_chat_template(CHAT, chat_template=OFFICIAL_TEMPLATE, tokenize=False)
        assert tokenizer.decode(encoded["input_ids"]) == official_text

    def test_no_second_end_where_eos_ends_the_turn(self, export):
        """As in checkpoints that were converted from Llama 3."""
        tokenizer, _ = export(OFFICIAL_TEMPLATE)
        tokenizer.eos_token = "<|eot_id|>"
        assert tokenizer.apply_chat_template(CHAT, tokenize=False).endswith("See you.<|eot_id|>")
        assert tokenizer.apply_chat_template(CHAT, tokenize=False).count("<|eot_id|>") == len(CHAT)

    def test_one_with_marks_is_kept(self, export):
        marked = (SHIPPED_CHECKPOINT / "chat_template.jinja").read_text(encoding="utf-8")
        tokenizer, note = export(marked)
        assert tokenizer.chat_template == marked and "kept, it marks" in note

    @pytest.mark.parametrize("headers", [True, False])
    def test_one_of_another_format_is_kept(self, export, headers):
        tokenizer, note = export(CHATML, headers)
        assert tokenizer.chat_template == CHATML and "kept, but it has no generation marks" in note

    def test_none_where_the_format_is_unknown(self, export, out):
        tokenizer, note = export(None, headers=False)
        assert tokenizer.chat_template is None and "none, since" in note
        assert 'tokenizer("Once upon a time"' in (out / "README.md").read_text()

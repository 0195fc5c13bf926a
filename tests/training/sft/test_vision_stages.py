# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The stages of LLaDA-V: which parts train and how fast, adapters, and what is refused."""

import pytest
import torch


pytest.importorskip("trl", reason="TRL is not part of this environment")

from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from support.sft_runs import sft_trainer, weights_of
from support.vision_runs import golden_model, golden_processor, vision_rows, vision_trainer
from transformers import AutoProcessor, BitsAndBytesConfig

from modeling_llada.training import LLaDASFTConfig
from modeling_llada.training.masking.noise import RowNoise
from modeling_llada.training.masking.row_order import RowKey
from modeling_llada.training.sft.configuration import PARTS
from modeling_llada.training.sft.stages import HEADER_TOKENS, part_of


WITH_IMAGES = vision_rows().select([0, 1, 2, 4])


@pytest.fixture
def trainer_of(tmp_path):
    return lambda *args, **settings: vision_trainer(tmp_path / "run", *args, **settings)


def changed_parts(trainer) -> set[str]:
    """The parts whose weights a step has changed."""
    before = weights_of(trainer)
    trainer.train()
    return {part_of(name) for name, value in weights_of(trainer).items() if not torch.equal(value, before[name])}


class TestParts:
    def test_names(self):
        names = [
            "model.vision_tower.encoder.layers.0.mlp.fc1.weight",
            "base_model.model.model.multi_modal_projector.modules_to_save.default.linear_1.weight",
            "model.image_newline",
            "model.layers.0.self_attn.q_proj.weight",
            "lm_head.weight",
        ]
        assert [part_of(name) for name in names] == [PARTS[0], PARTS[1], PARTS[2], PARTS[2], PARTS[2]]

    @pytest.mark.parametrize("parts", [["multi_modal_projector"], ["vision_tower", "language_model"], None], ids=str)
    def test_only_they_train(self, trainer_of, parts):
        trainer = trainer_of(WITH_IMAGES, trained_parts=parts, max_steps=1)
        assert changed_parts(trainer) == set(parts or PARTS)

    def test_also_what_an_earlier_stage_has_frozen(self, trainer_of):
        model = golden_model()
        trainer_of(WITH_IMAGES, model=model, trained_parts=["multi_modal_projector"])
        assert changed_parts(trainer_of(WITH_IMAGES, model=model, trained_parts=PARTS, max_steps=1)) == set(PARTS)

    @pytest.mark.parametrize(
        "settings",
        [{}, {"patch_merge_type": "flat"}, {"peft_config": LoraConfig(r=2)}],
        ids=["tiles", "flat", "adapter"],
    )
    def test_every_weight_that_trains_has_a_gradient(self, trainer_of, settings):
        """Of images and of a text alone. Several processes would wait for one that has none."""
        trainer = trainer_of(train_sampling_strategy="sequential", trained_parts=PARTS, **settings)
        rows = trainer.numbered_rows(trainer.train_dataset, RowNoise(0, "train"))
        for row in (0, 2, 3):
            trainer.model.zero_grad()
            trainer.compute_loss(trainer.model, trainer.data_collator([rows[RowKey(0, 0, row)]])).backward()
            weights = trainer.model.named_parameters()
            assert not [name for name, value in weights if value.requires_grad and value.grad is None]

    def test_stage_1(self, trainer_of):
        """The projector alone, on squashed images and bare captions; the folder says how its images are made."""
        trainer = trainer_of(
            WITH_IMAGES,
            trained_parts=["multi_modal_projector"],
            plain_captions=True,
            image_aspect_ratio="square",
            patch_merge_type="flat",
            max_steps=1,
        )
        decode = trainer.processing_class.tokenizer.decode
        assert decode(trainer.train_dataset[0]["input_ids"]) == "<image>A square.\n<|endoftext|>"
        assert decode(trainer.train_dataset[2]["input_ids"]) == "<image><image>Same.\n<|endoftext|>"
        assert trainer.train_dataset["image_lengths"][:] == [[25], [25], [25, 25], [25]]
        trainer.train()
        trainer.save_model()
        folder = trainer.args.output_dir
        assert golden_model().from_pretrained(folder).config.patch_merge_type == "flat"
        processor = type(trainer.processing_class).from_pretrained(folder)
        assert (processor.patch_merge_type, processor.image_processor.image_aspect_ratio) == ("flat", "square")

    def test_learning_rates(self, trainer_of):
        """Each part has its own, and the schedule keeps their ratios."""
        trainer = trainer_of(
            vision_tower_learning_rate=1e-5, projector_learning_rate=1e-2, warmup_steps=2, max_steps=1
        )
        optimizer = trainer.create_optimizer()
        names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
        rates = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                rates.setdefault(part_of(names[id(parameter)]), set()).add(group["lr"])
        assert rates == {"vision_tower": {1e-5}, "multi_modal_projector": {1e-2}, "language_model": {1e-3}}
        trained = [name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad]
        assert sum(len(group["params"]) for group in optimizer.param_groups) == len(trained)
        decays = {group["weight_decay"] for group in optimizer.param_groups}
        assert decays == {0.0}
        trainer.create_scheduler(4, optimizer)
        optimizer.step()
        trainer.lr_scheduler.step()
        assert {group["lr"] for group in optimizer.param_groups} == {5e-6, 5e-3, 5e-4}


class TestAdapters:
    @pytest.mark.parametrize("targets", [None, ["q_proj", "v_proj"], "all-linear"], ids=str)
    @pytest.mark.parametrize(
        "excluded", [None, ["layers.0.self_attn.q_proj"], r".*layers\.0\.self_attn\.q_proj"], ids=str
    )
    def test_leave_the_tower_alone(self, trainer_of, targets, excluded):
        config = LoraConfig(r=2, target_modules=targets, exclude_modules=excluded)
        trainer = trainer_of(vision_rows().select([3]), peft_config=config)
        trained = {name for name, value in trainer.model.named_parameters() if value.requires_grad}
        assert trained and all(".model.layers." in name and "vision_tower" not in name for name in trained)
        assert any("layers.0.self_attn.q_proj" in name for name in trained) == (excluded is None)

    def test_with_a_projector_that_trains_in_whole(self, trainer_of, tmp_path):
        trainer = trainer_of(
            WITH_IMAGES,
            peft_config=LoraConfig(r=2),
            trained_parts=["multi_modal_projector", "language_model"],
            projector_learning_rate=1e-2,
            gradient_checkpointing=True,
            max_steps=2,
        )
        assert changed_parts(trainer) == {"multi_modal_projector", "language_model"}
        trainer.save_model(str(tmp_path / "adapter"))
        saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
        assert {name.split(".")[-2] for name in saved} >= {"lora_A", "lora_B", "linear_1", "linear_2"}
        card = (tmp_path / "adapter" / "README.md").read_text(encoding="utf-8")
        assert "AutoModelForImageTextToText" in card and "pipeline_tag: image-text-to-text" in card
        assert AutoProcessor.from_pretrained(tmp_path / "adapter").image_token_id == 320
        going_on = PeftModel.from_pretrained(golden_model(), tmp_path / "adapter", is_trainable=True)
        again = trainer_of(model=going_on, projector_learning_rate=1e-2)
        assert {group["lr"] for group in again.create_optimizer().param_groups} == {1e-3, 1e-2}
        loaded = PeftModel.from_pretrained(golden_model(), tmp_path / "adapter")
        batch = next(iter(trainer.get_train_dataloader()))
        expected, found = (trainer.compute_loss(model.eval(), dict(batch)) for model in (trainer.model, loaded))
        assert found.item() == pytest.approx(expected.item(), rel=1e-6)

    def test_a_regular_expression_may_name_the_tower(self, trainer_of):
        config = LoraConfig(r=2, target_modules=r".*vision_tower.*\.q_proj")
        trainer = trainer_of(WITH_IMAGES, peft_config=config, max_steps=2)
        assert changed_parts(trainer) == {"vision_tower"}

    def test_on_a_quantized_model(self, tmp_path):
        """The tower and the projector keep their precision."""
        pytest.importorskip("bitsandbytes")
        golden_model().save_pretrained(tmp_path)
        golden_processor().save_pretrained(tmp_path)
        trainer = vision_trainer(
            tmp_path / "run",
            WITH_IMAGES,
            model=str(tmp_path),
            quantization_config=BitsAndBytesConfig(load_in_4bit=True),
            peft_config=LoraConfig(r=2),
            trained_parts=["multi_modal_projector", "language_model"],
            bf16=True,
            max_steps=1,
        )
        quantized = {name for name, module in trainer.model.named_modules() if type(module).__name__ == "Linear4bit"}
        assert quantized and all(".model.layers." in name for name in quantized)
        assert changed_parts(trainer) == {"multi_modal_projector", "language_model"}


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"trained_parts": ["projector"]}, "`trained_parts` must be some of vision_tower, multi_modal_projector"),
            ({"trained_parts": []}, "`trained_parts` must be some of"),
            ({"image_aspect_ratio": "anyres_max_4"}, "`image_aspect_ratio` must be one of auto, anyres"),
            ({"patch_merge_type": "spatial"}, "`patch_merge_type` must be one of spatial_unpad, flat"),
            ({"vision_tower_learning_rate": "fast"}, "`vision_tower_learning_rate` must be a number"),
            ({"projector_learning_rate": -1.0}, "`projector_learning_rate` must be at least 0"),
            ({"plain_captions": True, "dialogue_mask": True}, "`dialogue_mask=True` has no effect"),
        ],
        ids=str,
    )
    def test_arguments(self, tmp_path, settings, message):
        with pytest.raises(ValueError, match=message):
            LLaDASFTConfig(str(tmp_path), use_cpu=True, **settings)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"trained_parts": ["multi_modal_projector"], "vision_tower_learning_rate": 1e-5},
                "`vision_tower_learning_rate=1e-05` has no effect: vision_tower is not trained, only multi_modal_projector",
            ),
            (
                {"peft_config": LoraConfig(), "projector_learning_rate": 1e-5},
                "multi_modal_projector is not trained, only language_model",
            ),
            (
                {"peft_config": LoraConfig(), "trained_parts": ["vision_tower"]},
                "leaves out the language part, which the adapter belongs to",
            ),
            (
                {"peft_config": LoraConfig(target_modules=["q_proj", "linear_1"])},
                "`target_modules` must name modules of the language part, which has no linear_1",
            ),
            (
                {"peft_config": LoraConfig(), "patch_merge_type": "flat"},
                "`patch_merge_type='flat'` belongs to the config of the model, which is not saved with an adapter",
            ),
            ({"trained_parts": ["multi_modal_projector"]}, r"trains nothing.*1 of 5 rows \(3\)"),
            (
                {"sample_every": 1, "sample_prompts": ["<image>\nWhat is it?"]},
                "`sample_prompts` must be texts without <image>",
            ),
            ({"packing": True}, "`packing=True` is not supported for a LLaDA-V"),
            ({"truncation_mode": "keep_end"}, 'truncation_mode="keep_end"` is not supported for a LLaDA-V'),
        ],
        ids=[
            "rate of a frozen part",
            "rate beside an adapter",
            "adapter of a frozen part",
            "target of another part",
            "config beside an adapter",
            "texts",
            "prompts of samples",
            "packing",
            "keep_end",
        ],
    )
    def test_of_a_stage(self, trainer_of, settings, message):
        with pytest.raises(ValueError, match=message):
            trainer_of(**settings)

    def test_a_mask_that_the_attention_cannot_take(self, trainer_of):
        model = golden_model()
        model.set_attn_implementation("eager")
        with pytest.raises(ValueError, match='`dialogue_mask=True` needs `attn_implementation="sdpa"`'):
            trainer_of(model=model, dialogue_mask=True)

    def test_fields_of_images_for_a_model_without(self, poet_folder, tmp_path):
        with pytest.raises(
            ValueError, match="`dialogue_mask=True` belongs to a LLaDA-V, but `model` is a LLaDAForMaskedLM"
        ):
            sft_trainer(poet_folder, tmp_path, dialogue_mask=True)

    def test_an_eos_that_is_never_proposed(self, trainer_of, caplog):
        trainer_of()
        assert "EOS ends the rows, but `generate` never proposes it: `model.generation_config.sup" in caplog.text
        caplog.clear()
        trainer_of(reference_labels=True)
        assert "never proposes" not in caplog.text

    def test_reference_labels_without_headers(self, trainer_of, monkeypatch):
        monkeypatch.setitem(HEADER_TOKENS, "start", "<|header|>")
        with pytest.raises(ValueError, match="`reference_labels=True` needs the tokens of LLaDA's headers"):
            trainer_of(reference_labels=True)

    def test_a_tokenizer_and_a_processor_of_another_model(self, trainer_of):
        with pytest.raises(ValueError, match="`processing_class` must be the processor of a LLaDA-V"):
            trainer_of(processing_class=golden_processor().tokenizer)
        processor = golden_processor()
        processor.image_token_id = 7
        with pytest.raises(ValueError, match="the image token 320 and tiles of 70 pixels, but it has 7"):
            trainer_of(processing_class=processor)

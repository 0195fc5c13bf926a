# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Tiles and packed features of images: equal to the reference, and as many as are counted beforehand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from support.golden_v import CONFIG, FOLDER, GOLDEN, golden_tensors

from modeling_llada import LLaDAVConfig
from modeling_llada.models.images_llada_v import (
    num_anyres_tiles,
    num_image_features,
    num_video_features,
    pack_features,
    pack_video,
)


# The public ones are pairs of width and height.
PINPOINTS = [[height, width] for width, height in CONFIG["image_grid_pinpoints"]]
PINPOINTS_384 = [[384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)]
SIZES = {
    name: (image["size_width_height"][1], image["size_width_height"][0]) for name, image in GOLDEN["images"].items()
}
# One more image of each kind of tiles: a larger tile, features of an even side.
LAYOUTS = {"golden": (PINPOINTS, 70, 5), "published": (PINPOINTS_384, 384, 27), "even": ([[32, 32], [32, 64]], 32, 4)}


@pytest.fixture(scope="module")
def image_newline():
    return load_file(FOLDER / "model.safetensors")["model.image_newline"]


def pack(features, size, image_newline, **options):
    (packed,) = pack_features([features], [size], image_newline, PINPOINTS, 70, **options)
    return packed


class TestGolden:
    @pytest.mark.parametrize("name, max_tiles", [("A", 4), ("B", 4), ("C", 4), ("D", 4), ("D", None)])
    def test_tiles_of_any_resolution(self, image_newline, name, max_tiles):
        features = golden_tensors()[f"projected.anyres.{name}"]
        packed = pack(features, SIZES[name], image_newline, max_tiles=max_tiles)
        expected = golden_tensors()[f"packed.anyres{'' if max_tiles else '_no_max'}.{name}"]
        assert torch.equal(packed, expected)
        assert len(features) == num_anyres_tiles(SIZES[name], PINPOINTS, 70)
        assert len(expected) == num_image_features(SIZES[name], len(features), 5, PINPOINTS, 70, max_tiles)

    @pytest.mark.parametrize("name", "ABC")
    def test_one_padded_tile_ends_with_a_newline(self, image_newline, name):
        expected = golden_tensors()[f"packed.pad.{name}"]
        assert torch.equal(pack(expected[None, :25], SIZES[name], image_newline), expected)
        assert num_image_features(SIZES[name], 1, 5, PINPOINTS, 70) == len(expected) == 26

    def test_flat_has_no_newlines(self, image_newline):
        """Stage 1, and the public evaluation with several images."""
        features = golden_tensors()["projected.anyres.A"]
        for tiles in (features, features[:1]):
            packed = pack(tiles, SIZES["A"], image_newline, merge_type="flat")
            assert torch.equal(packed, tiles.flatten(0, 1))
            count = num_image_features(SIZES["A"], len(tiles), 5, PINPOINTS, 70, merge_type="flat")
            assert count == 25 * len(tiles)

    def test_video(self, image_newline):
        """The frames are the four images, squashed: the first tile of each."""
        frames = torch.stack([golden_tensors()[f"projected.anyres.{name}"][0] for name in "ABCD"])
        packed = pack_video(frames, image_newline)
        assert torch.equal(packed, golden_tensors()["packed.video"])
        assert num_video_features(4, 5) == len(packed)
        assert torch.equal(pack_video(frames, None), packed.unflatten(0, (12, 4))[:, :3].flatten(0, 1))
        assert num_video_features(4, 5, "flat") == 4 * 3 * 3

    def test_the_published_video(self):
        assert num_video_features(32, 27) == 32 * 14 * 15

    @pytest.mark.parametrize(
        "row", GOLDEN["geometry_at_384"]["rows"], ids=lambda row: f"{row['width']}x{row['height']}"
    )
    def test_counts_at_the_published_size(self, row):
        size = (row["height"], row["width"])
        tiles = num_anyres_tiles(size, PINPOINTS_384, 384)
        assert tiles == row["tiles"]
        # Its grid has 820 * 27 / 369 = 60 rows of features, which float arithmetic makes 59.99...: transformers rounds before
        # it truncates, and the reference does not.
        expected = 729 + 61 * 28 if "note" in row else row["tokens"]
        assert num_image_features(size, tiles, 27, PINPOINTS_384, 384) == expected


@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    max_tiles=st.sampled_from([None, 1, 4, 9]),
    merge_type=st.sampled_from(["spatial_unpad", "flat"]),
    one_tile=st.booleans(),
)
def test_as_many_features_as_counted(layout, size, max_tiles, merge_type, one_tile):
    pinpoints, tile_size, side = LAYOUTS[layout]
    tiles = 1 if one_tile else num_anyres_tiles(size, pinpoints, tile_size)
    features = torch.rand(tiles, side * side, 2)
    options = {"max_tiles": max_tiles, "merge_type": merge_type}
    (packed,) = pack_features([features], torch.tensor([size]), torch.zeros(2), pinpoints, tile_size, **options)
    count = num_image_features(size, tiles, side, pinpoints, tile_size, **options)
    assert packed.shape == (count, 2)
    assert count >= side * side


def test_a_grid_that_is_scaled_down_keeps_a_row():
    """Where a tile has few features, a wide picture would have none at a third of its height."""
    tiles = torch.rand(7, 4, 2)
    pinpoints = [[28, 28 * columns] for columns in range(1, 7)]
    (packed,) = pack_features([tiles], [(98, 634)], torch.zeros(2), pinpoints, 28, max_tiles=1)
    assert len(packed) == 4 + 1 * (4 + 1)


def test_counting_equals_the_processor_of_transformers():
    """It is the one of LLaVA-OneVision that counts by formulas."""
    from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor

    processor = object.__new__(LlavaOnevisionProcessor)
    processor.vision_aspect_ratio, processor.num_image_tokens = "anyres_max_4", 729
    processor.image_processor = type("Pinpoints", (), {"image_grid_pinpoints": PINPOINTS_384})
    generator = torch.Generator().manual_seed(0)
    for height, width in torch.randint(1, 3000, (100, 2), generator=generator).tolist():
        tiles = num_anyres_tiles((height, width), PINPOINTS_384, 384)
        expected = processor._get_number_of_features(height, width, 384, 384)
        assert num_image_features((height, width), tiles, 27, PINPOINTS_384, 384) == expected


def test_the_newline_takes_the_dtype_of_the_features():
    features = torch.zeros(3, 25, 8, dtype=torch.bfloat16)
    assert pack(features, SIZES["A"], torch.ones(8)).dtype == torch.bfloat16


class TestMaxTiles:
    """They come from the `vision_aspect_ratio` of the config."""

    @pytest.mark.parametrize("name, expected", [("anyres_max_4", 4), ("anyres_max_12", 12), ("anyres", None)])
    def test_names(self, name, expected):
        assert LLaDAVConfig(vision_aspect_ratio=name).max_tiles == expected

    @pytest.mark.parametrize(
        "name", ["anyres_max_", "anyres_max_0", "anyres_max_four", "anyres_max_²", "4", "pad", "", 4]
    )
    def test_another_name_is_an_error(self, name):
        with pytest.raises(ValueError, match="`vision_aspect_ratio` must be 'anyres' or 'anyres_max_N'"):
            LLaDAVConfig(vision_aspect_ratio=name)


class TestBadInput:
    def test_tiles_that_do_not_fit_the_size(self, image_newline):
        with pytest.raises(ValueError, match=r"60 x 100 pixels .* has 3 tiles, but there are features of 2"):
            pack(torch.zeros(2, 25, 64), SIZES["A"], image_newline)

    def test_fewer_sizes_than_images(self, image_newline):
        features = golden_tensors()["projected.anyres.A"]
        with pytest.raises(ValueError, match="there are 2 images and 1 sizes"):
            pack_features([features, features], [SIZES["A"]], image_newline, PINPOINTS, 70)

    def test_an_unknown_merge_type(self, image_newline):
        with pytest.raises(ValueError, match="`merge_type` must be one of spatial_unpad, flat, but got 'spatial'"):
            pack(torch.zeros(1, 25, 64), SIZES["A"], image_newline, merge_type="spatial")

    def test_no_newline(self):
        with pytest.raises(ValueError, match="`image_newline` must be given"):
            pack(torch.zeros(1, 25, 64), SIZES["A"], None)

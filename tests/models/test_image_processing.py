# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From a picture to tiles: the pixels of the reference, and an answer or a clear error for every kind of picture."""

import base64
import io
import re
import warnings

import numpy as np
import PIL
import pytest
import torch
from PIL import Image, ImageOps
from support.golden_v import GOLDEN, golden_image, golden_tensors

from modeling_llada.models import image_reading_llada_v
from modeling_llada.models.image_processing_llada_v import LLaDAVImageProcessor
from modeling_llada.models.image_reading_llada_v import MAX_PIXELS, read_image


# Pillow 13 resizes differently where an image is enlarged one way and reduced the other.
TOLERANCE = 0 if int(PIL.__version__.split(".")[0]) < 13 else 5 / 127.5
GOLDEN_PIXELS = sorted(name for name in golden_tensors() if name.startswith("pixel_values."))


@pytest.fixture(scope="module")
def processor():
    return LLaDAVImageProcessor(size={"height": 70, "width": 70})


def encode(image, image_format, **options):
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def read_bytes(data):
    return read_image("data:image/png;base64," + base64.b64encode(data).decode())


def same(one, other):
    return one.mode == other.mode == "RGB" and one.size == other.size and one.tobytes() == other.tobytes()


def photo(mode="RGB", size=(40, 30)):
    """A gradient, so that a turned or mirrored one is another one."""
    values = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3)
    return Image.fromarray(values).convert(mode)


class TestPixels:
    @pytest.mark.parametrize("name", GOLDEN_PIXELS)
    def test_golden(self, processor, name):
        _, mode, image = name.split(".")
        inputs = processor(golden_image(image), image_aspect_ratio=mode, return_tensors="pt")
        expected = golden_tensors()[name]
        expected = expected if mode == "anyres" else expected[None]
        torch.testing.assert_close(inputs["pixel_values"][0], expected, rtol=0, atol=TOLERANCE)
        width, height = GOLDEN["images"][image]["size_width_height"]
        assert inputs["image_sizes"].tolist() == [[height, width]]
        assert inputs["num_tiles"].tolist() == [len(expected)]

    def test_an_image_alone_is_any_resolution_and_several_are_padded(self, processor):
        a, b, c = (golden_image(name) for name in "ABC")
        inputs = processor([[a], [b, c], []], return_tensors="pt")
        assert inputs["num_tiles"].tolist() == [3, 1, 1]
        assert inputs["pixel_values"].shape == (3, 3, 3, 70, 70)
        for row, (name, tiles) in enumerate([("anyres.A", 3), ("pad.B", 1), ("pad.C", 1)]):
            expected = golden_tensors()[f"pixel_values.{name}"].view(tiles, 3, 70, 70)
            torch.testing.assert_close(inputs["pixel_values"][row, :tiles], expected, rtol=0, atol=TOLERANCE)
            assert not inputs["pixel_values"][row, tiles:].any()

    def test_each_image_of_a_list_is_in_its_own_row(self, processor):
        images = [golden_image(name) for name in "AC"]
        assert processor(images)["num_tiles"] == processor([[image] for image in images])["num_tiles"] == [3, 2]

    def test_video_frames_are_squashed(self, processor):
        videos = [[golden_image(name) for name in "ABCD"], [golden_image("A")]]
        inputs = processor.preprocess_videos(videos, return_tensors="pt")
        assert inputs["num_frames"].tolist() == [4, 1]
        expected = torch.stack([golden_tensors()[f"pixel_values.square.{name}"] for name in "ABCD"])
        torch.testing.assert_close(inputs["pixel_values_videos"][0], expected, rtol=0, atol=TOLERANCE)
        torch.testing.assert_close(inputs["pixel_values_videos"][1, :1], expected[:1], rtol=0, atol=TOLERANCE)
        assert not inputs["pixel_values_videos"][1, 1:].any()

    def test_by_default_the_published_sizes(self):
        processor = LLaDAVImageProcessor()
        assert processor.size == {"height": 384, "width": 384}
        assert len(processor.image_grid_pinpoints) == 36 and [768, 1152] in processor.image_grid_pinpoints
        assert processor(photo(size=(1024, 768)), return_tensors="pt")["pixel_values"].shape == (1, 7, 3, 384, 384)

    @pytest.mark.parametrize("size", [(1, 1), (1, 2000), (3000, 1), (2, 5), (1200, 7)])
    @pytest.mark.parametrize("mode", ["anyres", "pad", "square"])
    def test_tiny_and_very_long_images(self, processor, size, mode):
        inputs = processor(Image.new("RGB", size, "white"), image_aspect_ratio=mode, return_tensors="pt")
        assert inputs["image_sizes"].tolist() == [[size[1], size[0]]]
        tiles = inputs["pixel_values"][0]
        assert len(tiles) == inputs["num_tiles"][0]
        assert tiles.min() >= -1 and tiles.max() <= 1
        assert mode == "pad" or (tiles[0] == 1).all()

    def test_saved_and_loaded(self, processor, tmp_path):
        processor.save_pretrained(tmp_path)
        loaded = LLaDAVImageProcessor.from_pretrained(tmp_path)
        assert loaded.to_dict() == processor.to_dict()
        assert loaded.image_grid_pinpoints[1] == [140, 70]


class TestOptions:
    def test_an_unknown_aspect_ratio(self, processor):
        with pytest.raises(
            ValueError, match=r"`image_aspect_ratio` must be one of .*'anyres_max_4'.*`vision_aspect_ratio`"
        ):
            processor(photo(), image_aspect_ratio="anyres_max_4")

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"size": {"height": 70, "width": 71}}, "`size` must have the same 'height' and 'width'"),
            ({"size": {"shortest_edge": 70}}, "`size` must have the same 'height' and 'width'"),
            ({"image_grid_pinpoints": [[384, 500]]}, "`image_grid_pinpoints` must be pairs of multiples .* 384"),
            ({"image_aspect_ratio": "round"}, "`image_aspect_ratio` must be one of"),
        ],
    )
    def test_bad_ones(self, options, message):
        with pytest.raises(ValueError, match=message):
            LLaDAVImageProcessor(**options)

    def test_tiles_that_are_not_square(self, processor):
        for size in (70, {"height": 70, "width": 140}):
            with pytest.raises(ValueError, match="`size` must have the same"):
                processor(photo(), size=size)

    def test_a_grid_of_another_tile_size(self, processor):
        with pytest.raises(ValueError, match="`image_grid_pinpoints` must be pairs of multiples of the tile size 56"):
            processor(photo(), size={"height": 56, "width": 56})

    def test_the_layout_of_arrays_cannot_be_forced(self, processor):
        with pytest.raises(ValueError, match="`input_data_format` is not used"):
            processor(np.zeros((3, 5, 3), np.uint8), input_data_format="channels_first")

    @pytest.mark.parametrize("images", [[], [[]], [[], []]])
    def test_no_image(self, processor, images):
        with pytest.raises(ValueError, match="`images` holds no image"):
            processor(images)

    def test_lists_too_deep(self, processor):
        with pytest.raises(ValueError, match="`images` must be .* lists 3 deep"):
            processor([[[photo()]]])

    def test_a_video_without_frames(self, processor):
        with pytest.raises(ValueError, match=r"`videos` must have at least one frame each, but got \[1, 0\]"):
            processor.preprocess_videos([[photo()], []])


class TestSources:
    """Where a picture comes from."""

    def test_a_file(self, tmp_path):
        path = tmp_path / "photo.png"
        photo().save(path)
        for source in (path, str(path)):
            with warnings.catch_warnings():
                warnings.simplefilter("error", ResourceWarning)
                assert same(read_image(source), photo())

    def test_a_data_url_and_base64_text(self):
        text = base64.encodebytes(encode(photo(), "PNG")).decode()  # with line breaks
        assert same(read_image(text), photo())
        assert same(read_image("data:image/png;base64," + text), photo())

    def test_a_url(self, monkeypatch):
        class Response:
            content = encode(photo(), "PNG")

            def raise_for_status(self):
                return self

        monkeypatch.setattr(image_reading_llada_v.httpx, "get", lambda url, **options: Response())
        assert same(read_image("https://example.org/photo.png"), photo())

    def test_a_url_that_fails(self, monkeypatch):
        def get(url, **options):
            raise image_reading_llada_v.httpx.ConnectError("no route")

        monkeypatch.setattr(image_reading_llada_v.httpx, "get", get)
        with pytest.raises(ValueError, match="`images`: 'https://example.org/p.png' cannot be read .*no route"):
            read_image("https://example.org/p.png")

    def test_urls_and_paths_can_be_forbidden(self, tmp_path):
        photo().save(tmp_path / "photo.png")
        for source in (tmp_path / "photo.png", str(tmp_path / "photo.png"), "/etc/passwd", "file:///etc/passwd"):
            with pytest.raises(ValueError, match="`images` must not be paths here.*Pass a data URL"):
                read_image(source, allow_paths=False)
        with pytest.raises(ValueError, match="`images` must not be URLs of other servers here"):
            read_image("http://example.org/photo.png", allow_urls=False)
        data_url = "data:image/png;base64," + base64.b64encode(encode(photo(), "PNG")).decode()
        assert same(read_image(data_url, allow_paths=False, allow_urls=False), photo())

    @pytest.mark.parametrize(
        "source, message",
        [
            ("no_such_file.png", "there is no file 'no_such_file.png', and it is no URL and no base64 text"),
            ("data:image/png,abc", "`images`: a data URL must start with 'data:image/...;base64,'"),
            ("data:image/png;base64,äöü", "cannot be read as a picture"),
            ("data:image/png;base64,", "cannot be read as a picture"),
            ("/", "cannot be read as a picture"),
            ("", "cannot be read as a picture"),
            (None, "`images` must be paths, URLs, PIL images, .* but got NoneType"),
            (5, "`images` must be .* but got int"),
            (b"bytes", "`images` must be .* but got bytes"),
        ],
    )
    def test_bad_ones(self, source, message):
        with pytest.raises(ValueError, match=message):
            read_image(source)

    def test_a_long_text_is_not_repeated_in_the_error(self):
        with pytest.raises(ValueError) as error:
            read_image("data:image/png;base64," + "A" * 10000)
        assert len(str(error.value)) < 400


class TestArrays:
    def test_layouts(self):
        values = np.array(photo())
        grey = np.array(photo("L"))
        assert same(read_image(values), photo())
        assert same(read_image(values.transpose(2, 0, 1)), photo())
        assert same(read_image(torch.from_numpy(values).permute(2, 0, 1)), photo())
        for one in (grey, grey[None], grey[..., None]):
            assert same(read_image(one), photo("L").convert("RGB"))
        assert same(read_image(np.dstack([values, grey])), photo())

    def test_where_both_layouts_could_be_meant(self):
        """One pixel, or three rows: NumPy arrays have their channels last and tensors first."""
        for shape in ((1, 1, 3), (3, 5, 3)):
            values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            assert np.array_equal(np.array(read_image(values)), values)
            tensor = torch.from_numpy(values.transpose(2, 0, 1).copy())
            assert np.array_equal(np.array(read_image(tensor)), values)

    @pytest.mark.parametrize("dtype", [np.int64, np.int16, np.float32, np.float64, np.float16, np.uint16])
    def test_ranges(self, dtype):
        values = np.array(photo())
        scale = 257 if dtype is np.uint16 else 1 / 255 if np.issubdtype(dtype, np.floating) else 1
        assert same(read_image((values.astype(float) * scale).round(6).astype(dtype)), photo())

    def test_bfloat16_tensors(self):
        assert read_image(torch.ones(3, 4, 5, dtype=torch.bfloat16)).getpixel((0, 0)) == (255, 255, 255)

    @pytest.mark.parametrize(
        "array, message",
        [
            (np.zeros((2, 3, 5)), r"must be \(height, width\).* but got one of shape \(2, 3, 5\)"),
            (np.zeros((0, 5, 3)), "but got one of shape"),
            (np.zeros(5), "but got one of shape"),
            (np.full((4, 5, 3), 1.5), "float64 must hold values from 0 to 1, but got 1.5 to 1.5"),
            (np.full((4, 5, 3), -1.0), "must hold values from 0 to 1.*Normalization is done by the image processor"),
            (np.full((4, 5, 3), np.nan), "must hold values from 0 to 1, but got nan"),
            (np.full((4, 5, 3), 256), "int64 must hold values from 0 to 255, but got 256"),
            (np.zeros((4, 5, 3), bool), "must hold integers or floats, but got bool"),
        ],
    )
    def test_bad_ones(self, array, message):
        with pytest.raises(ValueError, match=message):
            read_image(array)


class TestFormats:
    """What is in a file."""

    @pytest.mark.parametrize("image_format", ["PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
    def test_lossless(self, image_format):
        # GIF has 256 colors.
        image = photo("P").convert("RGB") if image_format == "GIF" else photo()
        assert same(read_bytes(encode(image, image_format, lossless=True)), image)

    @pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LA", "RGBA", "PA", "HSV"])
    def test_modes(self, mode):
        image = photo("P").convert("PA") if mode == "PA" else photo(mode)
        assert same(read_image(image), image.convert("RGB"))

    def test_cmyk_files(self):
        read = np.array(read_bytes(encode(photo("CMYK"), "JPEG", quality=100)), dtype=int)
        assert np.abs(read - np.array(photo())).mean() < 12

    def test_transparency_is_dropped(self):
        image = photo("RGBA")
        image.putalpha(0)
        assert same(read_bytes(encode(image, "PNG")), photo())

    def test_a_palette_with_transparency_makes_no_warning(self):
        image = photo("P")
        data = encode(image, "PNG", transparency=bytes(range(256)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert same(read_bytes(data), image.convert("RGB"))

    @pytest.mark.parametrize("image_format", ["PNG", "TIFF", "PPM"])
    def test_16_bits_are_scaled(self, image_format):
        """Pillow would make everything above 255 white."""
        values = np.array(photo("L")).astype(np.uint16) * 257
        if image_format == "PPM":  # Pillow 10 cannot write it
            data = b"P5 40 30 65535\n" + values.astype(">u2").tobytes()
        else:
            data = encode(Image.fromarray(values), image_format)
        assert same(read_bytes(data), photo("L").convert("RGB"))

    @pytest.mark.parametrize("dtype", [np.float32, np.int32])
    def test_32_bits_are_refused(self, dtype):
        image = Image.fromarray(np.array(photo("L")).astype(dtype))
        with pytest.raises(ValueError, match="values of 32 bits, whose range is unknown. Scale them to 8 bits"):
            read_image(image)
        with pytest.raises(ValueError, match="values of 32 bits"):
            read_bytes(encode(image, "TIFF"))

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_rotation(self, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encode(photo(), "PNG", exif=exif)
        expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        assert same(read_bytes(data), expected)
        assert same(read_image(Image.open(io.BytesIO(data))), expected)  # an opened image too
        assert (expected.size == photo().size) == (orientation < 5)

    @pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_animated_pictures_are_refused(self, image_format):
        frames = [photo(), photo().rotate(180)]
        data = encode(frames[0], image_format, save_all=True, append_images=frames[1:])
        with pytest.raises(ValueError, match="has 2 frames, of which only one would be seen.*as a video"):
            read_bytes(data)
        opened = Image.open(io.BytesIO(data))
        with pytest.raises(ValueError, match="The PIL image has 2 frames"):
            read_image(opened)
        opened.seek(1)  # the way out that the error names
        assert read_image(opened.convert("RGB")).size == photo().size

    def test_the_first_picture_of_an_mpo_file(self):
        """Phones save photos so: the others are previews."""
        data = encode(photo(), "MPO", save_all=True, append_images=[photo().rotate(180)], quality=100)
        difference = np.array(read_bytes(data), dtype=int) - np.array(photo())
        assert np.abs(difference).mean() < 40

    @pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
    @pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
    def test_truncated_files(self, image_format, part):
        data = encode(photo(size=(200, 150)), image_format)
        with pytest.raises(ValueError, match="cannot be read as a picture. Is it damaged or cut off?"):
            read_bytes(data[: int(len(data) * part)])

    def test_no_picture_at_all(self, tmp_path):
        path = tmp_path / "photo.png"
        path.write_text("no picture")
        with pytest.raises(ValueError, match=re.escape("photo.png") + ".* cannot be read as a picture"):
            read_image(path)

    def test_formats_that_start_programs_are_not_opened(self):
        with pytest.raises(ValueError, match="cannot be read as a picture"):
            read_bytes(encode(photo(), "EPS"))

    @pytest.mark.parametrize("factor", [1.2, 3])
    def test_decompression_bombs(self, factor, recwarn):
        """A small file that would fill the memory. Only its header is read. The error is enough, without a warning of Pillow."""
        data = bytearray(encode(Image.new("1", (8, 8)), "BMP"))
        side = int((MAX_PIXELS * factor) ** 0.5)
        data[18:26] = side.to_bytes(4, "little") * 2  # width and height
        with pytest.raises(ValueError, match="pixels"):
            read_bytes(bytes(data))
        assert not recwarn.list

    def test_padding_does_not_make_a_bomb(self, processor):
        image = Image.new("RGB", (20000, 1))
        assert processor(image, image_aspect_ratio="anyres")["num_tiles"] == [2]
        with pytest.raises(ValueError, match="would be padded to 20000 x 20000.*another `image_aspect_ratio`"):
            processor(image, image_aspect_ratio="pad")

# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Chat requests with images, as clients of OpenAI send them."""

import base64
import io


QUESTION = {"type": "text", "text": "What is in the picture?"}


def data_url(image, image_format="PNG", **options):
    """A picture as clients send it."""
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return f"data:image/{image_format.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def image_part(image, **options):
    """A part of a message with a picture or a URL."""
    return {"type": "image_url", "image_url": {"url": image if isinstance(image, str) else data_url(image), **options}}


def chat(*parts):
    return [{"role": "user", "content": list(parts)}]

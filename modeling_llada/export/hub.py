# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The upload of an exported folder."""

from pathlib import Path

import huggingface_hub


# Files of an earlier upload with another number of shards. New files are never deleted.
STALE_WEIGHTS = ["model*.safetensors", "model.safetensors.index.json"]


def push_folder(
    folder: str | Path, repo_id: str, private: bool | None = None, commit_message: str = "Upload LLaDA checkpoint"
) -> str:
    """
    Uploads a folder to a model repository of the Hub. The repository is created if it does not exist.

    Args:
        folder (`str` or `Path`):
            The folder that [`export_checkpoint`] wrote.
        repo_id (`str`):
            The repository, as `name` or `organisation/name`.
        private (`bool`, *optional*):
            Whether a new repository is private. By default the organisation decides. An existing one does not change.
        commit_message (`str`, *optional*, defaults to `"Upload LLaDA checkpoint"`):
            The message of the commit.

    Returns:
        `str`: The address of the repository.

    Raises:
        `OSError`: if the Hub refuses the upload or cannot be reached.

    Example:

    ```python
    >>> from modeling_llada.export import push_folder

    >>> push_folder("my-llada", "my-name/my-llada", private=True)  # doctest: +SKIP
    ```
    """
    api = huggingface_hub.HfApi()
    repository = api.create_repo(repo_id, private=private, exist_ok=True)
    api.upload_folder(
        repo_id=repository.repo_id, folder_path=folder, commit_message=commit_message, delete_patterns=STALE_WEIGHTS
    )
    return str(repository)

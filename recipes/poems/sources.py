# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Reads the poems of the npm package `chinese-poetry`, with a generator for each collection, famous collections first."""

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from modeling_llada.writing import complete_or_absent


PACKAGE = "chinese-poetry@2.0.1"
TARBALL = "chinese-poetry-2.0.1.tgz"
TARBALL_SHA256 = "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86"

FAMOUS_TAGS = {"唐诗三百首", "宋词三百首", "古诗三百首", "小学古诗", "初中古诗", "高中古诗"}
# The songs and elegies of school books.
# fmt: off
FAMOUS_OLD_SONGS = {
    "关雎", "桃夭", "击鼓", "式微", "静女", "硕人", "氓",
    "木瓜", "黍离", "君子于役", "采葛", "子衿", "伐檀",
    "硕鼠", "蒹葭", "无衣", "鹿鸣", "采薇", "鹤鸣",
}
# fmt: on
FAMOUS_ELEGIES = {"国殇", "山鬼", "橘颂"}


@dataclass
class RawPoem:
    """A poem of the package, in traditional or simplified script."""

    source: str  # its folder in the package
    paragraphs: list[str]  # usually a couplet each
    title: str = ""  # or the tune of a 词
    author: str = ""
    genre: str | None = None  # 词, 曲 or 古文; `None` if the form follows from the shape
    famous: bool = False  # in a well-known anthology or a school book
    is_folk_song: bool = False  # a 乐府; these share titles with tunes of 词


def fetch_package(cache: Path) -> Path:
    """Downloads the package with npm if it is not in the cache, and returns the path of its archive."""
    archive = cache / TARBALL
    if not archive.exists():
        if shutil.which("npm") is None:
            raise ValueError(
                f"`source` must be given where npm is not installed: the archive {TARBALL} of the npm registry."
            )
        cache.mkdir(parents=True, exist_ok=True)
        # npm downloads into its own cache first, so a broken connection leaves no partial archive here.
        subprocess.run(["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(cache)], check=True)
    digest = sha256(archive.read_bytes()).hexdigest()
    if digest != TARBALL_SHA256:
        raise ValueError(
            f"`cache` holds a {TARBALL} that is not version 2.0.1 as published (SHA-256 {digest}). Delete {archive} and run again."
        )
    return archive


def open_package(source: Path, cache: Path) -> Path:
    """Returns the folder with the collections. An archive is unpacked into the cache first."""
    folder = _unpack(source, cache) if source.is_file() else source
    for candidate in (folder / "dist", folder / "package" / "dist", folder):
        if (candidate / "quantangshi").is_dir():
            return candidate
    raise ValueError(
        f"`source` must be the archive {TARBALL} or the folder it unpacks to, with dist/quantangshi inside; got {source}. Leave it out to download the package."
    )


def _unpack(archive: Path, cache: Path) -> Path:
    if not tarfile.is_tarfile(archive):
        raise ValueError(f"`source` must be the archive {TARBALL}, but {archive} is no tar archive.")
    folder = cache / archive.stem
    if not folder.exists():
        with tarfile.open(archive) as tar, complete_or_absent(folder) as unfinished:
            tar.extractall(unfinished, filter="data")
    return folder


def read_poems(dist: Path) -> Iterator[RawPoem]:
    """Yields all poems, famous anthologies first, because the first one of several editions is kept."""
    for reader in READERS:
        yield from reader(dist)


def _load(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def _numbered(folder: Path, pattern: str) -> list[Path]:
    # poet.tang.2000.json before poet.tang.10000.json; ci.song.2019y.json, a supplement, last.
    def order(path: Path) -> tuple[bool, int]:
        number = path.stem.rsplit(".", 1)[1]
        return (not number.isdigit(), int(number) if number.isdigit() else 0)

    return sorted(folder.glob(pattern), key=order)


def _tags(record: dict) -> set[str]:
    return set(record.get("tags") or ())


def _shuimotangshi(dist: Path) -> Iterator[RawPoem]:
    for r in _load(dist / "shuimotangshi/shuimotangshi.json"):
        yield RawPoem("shuimotangshi", r["paragraphs"], r["title"], r["author"], famous=True)


def _caocao(dist: Path) -> Iterator[RawPoem]:
    for r in _load(dist / "caocaoshiji/caocao.json"):
        yield RawPoem("caocaoshiji", r["paragraphs"], r["title"], "曹操", famous=True)


def _ci(record: dict, famous: bool = False) -> RawPoem:
    # "酹江月・念奴娇" gives two names of one tune.
    tune = record["rhythmic"].split("・")[0]
    famous = famous or bool(FAMOUS_TAGS & _tags(record))
    return RawPoem("songci", record["paragraphs"], tune, record["author"], "词", famous)


def _ci_300(dist: Path) -> Iterator[RawPoem]:
    for r in _load(dist / "songci/宋词三百首.json"):
        yield _ci(r, famous=True)


def _shi(record: dict, famous: bool = False) -> RawPoem:
    tags, names = _tags(record), (record["title"], record["author"])
    famous = famous or bool(FAMOUS_TAGS & tags)
    return RawPoem("quantangshi", record["paragraphs"], *names, famous=famous, is_folk_song="乐府" in tags)


def _shi_300(dist: Path) -> Iterator[RawPoem]:
    for r in _load(dist / "quantangshi/唐诗三百首.json"):
        yield _shi(r, famous=True)


def _songci(dist: Path) -> Iterator[RawPoem]:
    for path in _numbered(dist / "songci", "ci.song.*.json"):
        for r in _load(path):
            yield _ci(r)


def _quantangshi(dist: Path) -> Iterator[RawPoem]:
    for dynasty in ("tang", "song"):
        for path in _numbered(dist / "quantangshi", f"poet.{dynasty}.*.json"):
            for r in _load(path):
                yield _shi(r)


def _wudai(dist: Path) -> Iterator[RawPoem]:
    paths = sorted((dist / "wudaishici/huajianji").glob("*-juan.json"))
    for path in [*paths, dist / "wudaishici/nantang/poetrys.json"]:
        for r in _load(path):
            yield RawPoem("wudaishici", r["paragraphs"], r.get("title") or r["rhythmic"], r["author"], "词")


def _shijing(dist: Path) -> Iterator[RawPoem]:
    for r in _load(dist / "shijing/shijing.json"):
        yield RawPoem("shijing", r["content"], r["title"], famous=r["title"] in FAMOUS_OLD_SONGS)


def _chuci(dist: Path) -> Iterator[RawPoem]:
    for r in _load(dist / "chuci/chuci.json"):
        yield RawPoem("chuci", r["content"], r["title"], r["author"], famous=r["title"] in FAMOUS_ELEGIES)


def _nalan(dist: Path) -> Iterator[RawPoem]:
    for r in _load(dist / "nalanxingde/纳兰性德诗集.json"):
        yield RawPoem("nalanxingde", r["para"], r["title"], r["author"])


def _yuanqu(dist: Path) -> Iterator[RawPoem]:
    for r in _load(dist / "yuanqu/yuanqu.json"):
        # "play・tune", "tune・first words of the song" or "mode・tune"; southern plays stand with the author: 高明《琵琶记》.
        author, _, play = r["author"].rstrip("》").partition("《")
        parts = [play, *(part for part in r["title"].split("・") if not re.search("[，。]", part))]
        title = "·".join(part for part in parts if part).replace("/", "·")
        yield RawPoem("yuanqu", r["paragraphs"], title, author, "曲")


def _anthology(dist: Path, name: str) -> Iterator[RawPoem]:
    for section in _load(dist / f"mengxue/{name}.json")["content"]:
        for r in section["content"]:
            title = r.get("subchapter") or r["chapter"]
            for part_title, paragraphs in _parts(r["paragraphs"]):
                yield RawPoem("mengxue", paragraphs, f"{title} {part_title}".strip(), r["author"], famous=True)


def _parts(paragraphs: list) -> list[tuple[str, list[str]]]:
    # A cycle of poems nests them: [{"subchapter": "其一", "paragraphs": [...]}, ...].
    if isinstance(paragraphs[0], str):
        return [("", paragraphs)]
    return [(part["subchapter"], part["paragraphs"]) for part in paragraphs]


def _primers(dist: Path) -> Iterator[RawPoem]:
    folder = dist / "mengxue"
    for name in ("sanzijing-traditional", "sanzijing-new", "baijiaxing"):
        book = _load(folder / f"{name}.json")
        lines = [p if isinstance(p, str) else "" for p in book["paragraphs"]]
        yield RawPoem("mengxue", lines, book["title"], book["author"])
    book = _load(folder / "qianziwen.json")
    pairs = zip(book["paragraphs"][::2], book["paragraphs"][1::2], strict=True)
    yield RawPoem("mengxue", [f"{first}，{second}。" for first, second in pairs], book["title"], book["author"])
    book = _load(folder / "dizigui.json")
    for chapter in book["content"]:
        lines = [re.sub(r"\s+", "，", p.strip()) for p in chapter["paragraphs"]]
        yield RawPoem("mengxue", lines, f"{book['title']}·{chapter['chapter']}", book["author"])
    for section in _load(folder / "shenglvqimeng.json")["content"]:
        for chapter in section["content"]:
            for paragraph in chapter["paragraphs"]:
                yield RawPoem("mengxue", [paragraph], "聲律啓蒙", "車萬育")


def _prose(dist: Path) -> Iterator[RawPoem]:
    for r in _load(dist / "lunyu/lunyu.json"):
        for paragraph in r["paragraphs"]:
            yield RawPoem("lunyu", [paragraph], f"论语·{r['chapter'].removesuffix('篇')}", "", "古文")
    for r in _load(dist / "sishuwujing/mengzi.json"):
        for paragraph in r["paragraphs"]:
            yield RawPoem("sishuwujing", [paragraph], f"孟子·{r['chapter']}", "", "古文")
    for name in ("daxue", "zhongyong"):
        book = _load(dist / f"sishuwujing/{name}.json")
        for paragraph in book["paragraphs"]:
            yield RawPoem("sishuwujing", [paragraph], book["chapter"], "", "古文")
    for r in _load(dist / "youmengying/youmengying.json"):
        yield RawPoem("youmengying", [r["content"]], "幽梦影", "张潮", "古文")
    folder = dist / "mengxue"
    book = _load(folder / "zhuzijiaxun.json")
    yield RawPoem("mengxue", book["paragraphs"], book["title"], book["author"], "古文")
    for chapter in _load(folder / "zengguangxianwen.json")["content"]:
        yield RawPoem("mengxue", chapter["paragraphs"], "增廣賢文", "", "古文")
    for section in _load(folder / "youxueqionglin.json")["content"]:
        for chapter in section["content"]:
            for paragraph in chapter["paragraphs"]:
                yield RawPoem("mengxue", [paragraph], f"幼學瓊林·{chapter['chapter']}", "程登吉", "古文")
    for section in _load(folder / "guwenguanzhi.json")["content"]:
        for r in section["content"]:
            author = re.sub(r".*[：:]", "", r.get("author") or "").strip()
            for paragraph in r["paragraphs"]:
                yield RawPoem("mengxue", [paragraph], r["chapter"], author, "古文")


READERS: list[Callable[[Path], Iterator[RawPoem]]] = [
    # These have the editions that schools use today (床前明月光). The complete Tang poems follow older editions.
    _shuimotangshi,
    partial(_anthology, name="qianjiashi"),
    _shi_300,
    partial(_anthology, name="tangshisanbaishou"),
    _ci_300,
    _caocao,
    _songci,
    # Before the complete Tang poems, which repeat most of these without the genre 词.
    _wudai,
    _quantangshi,
    _shijing,
    _chuci,
    _nalan,
    _primers,
    _yuanqu,
    _prose,
]

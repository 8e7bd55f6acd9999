"""The same picture twice is found however it was saved; different pictures of one kind are left alone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ocrmaps.annotations.checks import leakage
from ocrmaps.annotations.checks.imprint import Imprint
from ocrmaps.annotations.checks.leakage import SAME, Shown, find_copies, same_picture
from ocrmaps.annotations.checks.survey import survey
from tests.checks.conftest import receipt

LINES = ["CORNER SHOP LTD", "12 Market Street", "TEL 555 0199", "TAX INVOICE", "-----------------------",
         "Bill 00118887  10/02/2017", "Fishball noodle      7.00", "Tea                  1.20",
         "Milk 2 l             3.95", "-----------------------", "SUB TOTAL           12.15",
         "GST 6%               0.73", "TOTAL               12.88", "CASH                20.00",
         "CHANGE               7.12", "-----------------------", "Thank you, come again",
         "www.corner-shop.example", "Goods sold are not returnable", "Open daily 8 to 22"]  # fmt: skip
OTHER = [*LINES[:5], "Bill 00118901  11/02/2017", "Fishball noodle      7.00", "Tea                  1.20",
         "Milk 2 l             3.95", *LINES[9:]]  # fmt: skip
"""The same shop, the same articles, the next day: one line in twenty differs."""


def saved(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def entries(*paths: Path, sources=None) -> list[Shown]:
    looks = survey(paths)
    return [
        Shown(source=sources[i] if sources else i, id=p.name, path=p, digest=k.digest, size=k.header.upright,
              imprint=k.imprint)
        for i, (p, k) in enumerate(zip(paths, looks, strict=True))
        if k.header
    ]  # fmt: skip


def pairs(shown, **options):
    return [(c.first, c.second, c.exact) for c in find_copies(shown, **options).pairs]


def changed(image: Image.Image, how: str) -> Image.Image:
    w, h = image.size
    if how == "jpeg":
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=30)
        return Image.open(buffer).convert("RGB")
    return {
        "half size": lambda: image.resize((w // 2, h // 2), Image.Resampling.LANCZOS),
        "double size": lambda: image.resize((2 * w, 2 * h), Image.Resampling.BICUBIC),
        "gray": lambda: image.convert("L"),
        "darker": lambda: ImageEnhance.Brightness(image).enhance(0.7),
        "cropped": lambda: image.crop((w // 100, h // 100, w - w // 100, h - h // 100)),
        "turned": lambda: image.rotate(0.7, Image.Resampling.BICUBIC, fillcolor=(250, 249, 246)),
    }[how]()


def test_equal_files_are_found_by_their_digest_alone(tmp_path):
    page = receipt(LINES)
    a, b, c = (saved(tmp_path / name, page, compress_level=1) for name in ("a.png", "b.png", "c.png"))
    assert pairs(entries(a, b, c)) == [(0, 1, True), (0, 2, True)]


@pytest.mark.parametrize("how", ["jpeg", "half size", "double size", "gray", "darker", "cropped", "turned"])
def test_a_copy_is_found_however_it_was_saved(tmp_path, how):
    page = receipt(LINES)
    shown = entries(saved(tmp_path / "a.png", page), saved(tmp_path / "b.png", changed(page, how)))
    assert pairs(shown) == [(0, 1, False)]


def test_another_receipt_of_the_same_shop_is_no_copy(tmp_path):
    shown = entries(saved(tmp_path / "a.png", receipt(LINES)), saved(tmp_path / "b.png", receipt(OTHER)))
    found = find_copies(shown)
    assert found.candidates == 1, "the hashes alone cannot tell them apart, or this test shows nothing"
    assert found.pairs == ()


def test_the_comparison_and_not_the_hash_keeps_them_apart(tmp_path, monkeypatch):
    shown = entries(saved(tmp_path / "a.png", receipt(LINES)), saved(tmp_path / "b.png", receipt(OTHER)))
    monkeypatch.setattr(leakage, "SAME", -1.0)
    assert len(find_copies(shown).pairs) == 1


def test_an_exif_orientation_and_turned_pixels_are_the_same_picture(tmp_path):
    page = receipt(LINES)
    exif = Image.Exif()
    exif[0x0112] = 6
    tagged = saved(tmp_path / "a.png", page.transpose(Image.Transpose.ROTATE_90), exif=exif)
    assert pairs(entries(tagged, saved(tmp_path / "b.png", page))) == [(0, 1, False)]


def test_blank_pictures_are_not_compared(tmp_path):
    colors = [(255, 255, 255), (254, 254, 255), (0, 0, 0)]
    paths = [saved(tmp_path / f"{i}.png", Image.new("RGB", (300, 400), c)) for i, c in enumerate(colors)]
    found = find_copies(entries(*paths))
    assert (found.pairs, found.candidates) == ((), 0)


def test_likeness_is_zero_where_nothing_can_be_compared(tmp_path):
    page = saved(tmp_path / "a.png", receipt(LINES))
    (tmp_path / "b.png").write_bytes(b"?")
    assert same_picture(page, tmp_path / "b.png") == 0
    tiny = [saved(tmp_path / f"{i}.png", Image.new("RGB", (1, 1))) for i in "cd"]
    assert same_picture(*tiny) == 0


def test_likeness_does_not_depend_on_which_comes_first(tmp_path):
    page = receipt(LINES)
    a, b = saved(tmp_path / "a.png", page), saved(tmp_path / "b.png", changed(page, "half size"))
    assert min(same_picture(a, b), same_picture(b, a)) >= SAME


def test_the_limit_keeps_the_most_alike_and_says_how_many_there_were(tmp_path):
    kin = [[*LINES[:5], *[f"Article {i}" + i * 4 * "x"] * 3, *LINES[8:]] for i in range(3)]
    paths = [saved(tmp_path / f"{i}.png", receipt(lines)) for i, lines in enumerate(kin)]
    paths.append(saved(tmp_path / "copy.png", changed(receipt(kin[1]), "darker")))
    found = find_copies(entries(*paths), limit=1)
    assert found.candidates > 1 and found.compared == 1
    assert [(c.first, c.second) for c in found.pairs] == [(1, 3)]


def test_candidates_agree_with_a_plain_comparison_of_all_pairs():
    rng = np.random.default_rng(1)
    base = [int(v) for v in rng.integers(0, 2**63, 6)]

    def bits(value: int, n: int) -> int:
        for b in rng.choice(64, n, replace=False):
            value ^= 1 << int(b)
        return value

    shown = []
    for i in range(60):
        fine = np.zeros(32, dtype=np.uint8)
        fine[: int(rng.integers(0, 20))] = 255
        print_ = Imprint(
            waves=bits(base[i % 3], int(rng.integers(0, 9))), slopes=bits(base[i % 3], int(rng.integers(0, 9))),
            fine=fine.tobytes(), contrast=20.0,
        )  # fmt: skip
        size = (100, 100 + 8 * (i % 4))
        shown.append(Shown(source=0, id=str(i), path=Path("-"), digest=str(i), size=size, imprint=print_))

    def close(a: Imprint, b: Imprint) -> bool:
        fine = (int.from_bytes(a.fine, "big") ^ int.from_bytes(b.fine, "big")).bit_count()
        return (a.waves ^ b.waves).bit_count() <= 10 and (a.slopes ^ b.slopes).bit_count() <= 10 and fine <= 64

    expected = {
        (i, j)
        for i in range(60)
        for j in range(i + 1, 60)
        if close(shown[i].imprint, shown[j].imprint) and abs(np.log(shown[i].size[1] / shown[j].size[1])) < 0.1
    }
    number, found = leakage._candidates(shown, range(60), 10_000)
    assert len(expected) > 20
    assert (number, set(found)) == (len(expected), expected)


COPIES = {("012", "015"): True, ("076", "625"): True, ("277", "452"): True, ("235", "237"): False}
"""The only copies among all 415 receipts, looked at one by one; the last is one scan saved again, a little changed."""
KIN = ["train/476", "train/477", "val/483", "train/605", "val/603", "train/360", "train/365", "train/361", "train/362",
       "train/115", "train/121", "train/500", "val/503", "train/051", "train/055", "val/053", "val/058"]  # fmt: skip
"""The pictures that came closest without being copies: one shop, one layout, another day."""


@pytest.mark.shared
def test_among_real_receipts_of_one_layout_only_true_copies_are_reported(shared):
    names = [*(f"train/{name}" for pair in COPIES for name in pair), *KIN]
    paths = [shared / "data" / "sroie" / name.replace("/", "/img/") for name in names]
    shown = entries(*(path.with_suffix(".jpg") for path in paths), sources=[0] * len(paths))
    found = find_copies(shown, workers=2)
    named = {tuple(sorted((shown[c.first].path.stem, shown[c.second].path.stem))): c.exact for c in found.pairs}
    assert named == COPIES
    assert found.candidates > 8

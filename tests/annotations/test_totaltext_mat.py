"""Total-Text .mat, read by the parser of ours."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest

from ocrmaps.evaluation.predictions import read_prediction_file
from tests.contracts.reader import ReaderContract, scanned

# Two rows of polygt as MATLAB writes them, uncompressed, packed here.
EXAMPLE = zlib.decompress(
    base64.b85decode(
        "c-r%I4DoSvQZUssQ1EpO(M`+DNmU5QNi0drFUqx2D9A6)tk6+#E=o--Nlj76&$ChpPApOI%P&(fvQRKIv@$lcGPYDOGB7e@AOkRZ`tkuO31$W"
        "cHXzLb5`s#xLitP#5IIIDU67wsnO?%c0Mci`fY8T+rjHS-7iOLSkXK<vnLZ07eOy@du^{PVhKtJqAtPA72a<j^Ec%&|^mBs31s+f$4iH)yO3OH"
        "q<Bv)*{a;Ce|CxZ02MDR-e<<Cc<bduT76R@OfXXE&rX60%KwLO5qUdL2P$pAf1_ky30B<ZOn*"
    )
)
XS = struct.pack("<4h", 1, 30, 30, 1)


class TestContract(ReaderContract):
    format = "totaltext-mat"
    file = "poly_gt_a.mat"
    example = EXAMPLE
    points = ([[1, 2], [30, 2], [30, 12], [1, 12]], [[5, 5], [9.5, 5], [7, 9.25]])
    broken = (XS, struct.pack("<4h", 1, 30, 30, -32768) + b"", "poly_gt_a.mat:polygt(1)")
    per_picture = True

    def test_names_the_place_of_a_fault(self, tmp_path):
        # Three xs beside four ys: the size in the tag is another.
        tag = struct.pack("<II", 3, 8)
        assert tag + XS in self.example
        reading = scanned(
            tmp_path, self.format, self.example.replace(tag + XS, struct.pack("<II", 3, 6) + XS), self.file
        )
        assert [(p.loc, p.kind) for p in reading.problems] == [(self.broken[2], "odd-count")]

    def test_leaves_out_a_picture_with_a_fault(self, tmp_path):
        cut = self.example.replace(struct.pack("<II", 3, 8) + XS, struct.pack("<II", 3, 6) + XS)
        assert scanned(tmp_path, self.format, cut, self.file).samples == ()


def test_texts_and_hashes_are_as_in_the_text_files(tmp_path):
    (sample,) = scanned(tmp_path, "totaltext-mat", EXAMPLE, "poly_gt_a.mat").samples
    assert sample.polygons.texts == ("café", None)
    assert sample.polygons.ignore.tolist() == [False, True]


def test_one_file_is_read_as_predictions_too(tmp_path):
    (tmp_path / "a.mat").write_bytes(EXAMPLE)
    found = read_prediction_file(tmp_path / "a.mat")
    assert (found.format, [len(picture.polygons) for picture in found.pictures]) == ("totaltext-mat", [2])


def compressed(data: bytes) -> bytes:
    packed = zlib.compress(data[128:])
    return data[:128] + struct.pack("<II", 15, len(packed)) + packed


def test_compressed_variables_are_read_and_bounded(tmp_path, monkeypatch):
    name = "a.mat"
    assert scanned(tmp_path, "totaltext-mat", compressed(EXAMPLE), name).samples[0].polygons.counts().tolist() == [4, 3]
    for limit, most in (("MOST_NUMBERS", 20), ("MAX_BYTES", 500)):
        with monkeypatch.context() as bounded:
            bounded.setattr(f"ocrmaps.annotations.grammar.matlab.{limit}", most)
            (problem,) = scanned(tmp_path, "totaltext-mat", compressed(EXAMPLE), name).problems
            assert problem.kind == "unreadable-file" and f"over {most} " in problem.message


@pytest.mark.parametrize("data", [b"MATLAB 7.3 MAT-file".ljust(126) + b"IM", b"\x89HDF\r\n", EXAMPLE[:300]])
def test_other_files_are_named(tmp_path, data):
    (problem,) = scanned(tmp_path, "totaltext-mat", data, "a.mat").problems
    assert (problem.loc, problem.kind) == ("a.mat", "unreadable-file")

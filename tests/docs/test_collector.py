"""The collector sees what it should, and its checks can fail."""

from __future__ import annotations

import pytest

from ocrmaps.errors import SpecError
from tests.docs.pages import read_page
from tests.docs.running import BlockFailed, Reader, agrees, parse_toml
from tests.docs.test_links import broken, reached


@pytest.fixture
def page(tmp_path):
    def made(text, name="page.md"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return read_page(path)

    return made


def follow(page, folder):
    reader = Reader(folder)
    for block in page.blocks:
        reader.follow(block)
    return reader


def test_a_failing_python_block_is_named_by_its_line(page, tmp_path):
    with pytest.raises(BlockFailed, match=r"page.md:3: AssertionError"):
        follow(page("# a\n\n```python\nassert 1 == 2\n```\n"), tmp_path)


def test_names_of_earlier_blocks_are_there(page, tmp_path):
    follow(page("```python\na = 1\n```\n```python\n>>> a + 1\n2\n```\n"), tmp_path)


def test_a_doctest_with_another_answer_fails(page, tmp_path):
    with pytest.raises(BlockFailed, match="Expected"):
        follow(page("```python\n>>> 1 + 1\n3\n```\n"), tmp_path)


def test_a_command_that_fails_is_a_failure_unless_its_code_is_shown(page, tmp_path):
    command = "```console\n$ ocrmaps data check nowhere\n{}```\n"
    with pytest.raises(BlockFailed, match="ended with 3"):
        follow(page(command.format("")), tmp_path)
    with pytest.raises(BlockFailed, match="shows that it is meant"):
        follow(page(command.format("...\n")), tmp_path)
    follow(page(command.format("...\n$ echo $?\n3\n")), tmp_path)
    with pytest.raises(BlockFailed, match="the page shows"):
        follow(page(command.format("...\n$ echo $?\n2\n")), tmp_path)


def test_output_that_differs_is_a_failure(page, tmp_path):
    with pytest.raises(BlockFailed, match="the page shows"):
        follow(page("```console\n$ ocrmaps --version\nocrmaps 99\n```\n"), tmp_path)
    follow(page("```console\n$ ocrmaps --version\nocrmaps ...\n```\n"), tmp_path)


def test_files_are_written_and_pipes_go_through_a_shell(page, tmp_path):
    follow(page("<!-- file: a/b.csv -->\n```csv\n1,2\n```\n```console\n$ cat a/b.csv | tr 1 3\n3,2\n```\n"), tmp_path)


def test_shortened_blocks_run_shortened_and_their_figures_count_as_figures(page, tmp_path):
    note = "<!-- shortened in tests: `echo 160` -> `echo 8` -->\n"
    follow(page(note + "```console\n$ echo 160 pictures\n160 pictures\n```\n"), tmp_path)
    with pytest.raises(BlockFailed, match="the page shows"):
        follow(page(note + "```console\n$ echo 160 pictures\n160 rows\n```\n"), tmp_path)
    assert page(note + "```console\n$ echo 10\n```\n").faults


def test_figures_are_compared_unless_they_vary():
    assert not agrees("0.5 of 3\n", "0.7 of 3\n")
    assert agrees("0.5 of 3\n", "0.7 of 4\n", figures=False)
    assert not agrees("0.5 of 3\n", "0.7 in 4\n", figures=False)
    assert agrees("a\nb\n", "a\ncompiling once for this machine: x (about 1 s)\nb\n")


@pytest.mark.parametrize(
    "text",
    [
        "```\nanything\n```\n",
        "```zsh\nls\n```\n",
        "```text\n$ ocrmaps demo\n```\n",
        "say\n\n    ocrmaps demo --num 8\n",
        "<!-- not run: no -->\n```python\n1 / 0\n```\n",
        "<!-- skip this -->\n```python\n1 / 0\n```\n",
    ],
)
def test_a_block_that_slips_past_the_collector_is_a_fault(page, text):
    assert page(text).faults


def test_a_reason_is_kept(page):
    (block,) = page("<!-- not run: needs a GPU -->\n```console\n$ nvidia-smi\n```\n").blocks
    assert block.not_run == "needs a GPU"


def test_toml_goes_to_the_parser_it_is_for():
    assert parse_toml('[layout]\nimage = "zstd"\n') == "recipe"
    assert parse_toml("[budget]\nepochs = 3\n") == "run"
    with pytest.raises(SpecError, match="unknown key"):
        parse_toml("[budget]\nepoch = 3\n")
    with pytest.raises(SpecError, match="unknown key"):
        parse_toml("[maps]\nstyle = 'exact'\nratio = 0.5\n")


def test_broken_links_and_anchors_are_found(page, tmp_path):
    other = page("# One thing, two\n", "other.md")
    here = page("[a](other.md#one-thing-two) [b](other.md#three) [c](none.md) `[d](none.md)`\n")
    known = {here.path: here, other.path: other}
    assert [fault.split(": ")[1] for fault in broken(here, known)] == ["other.md#three", "none.md"]


def test_pages_without_a_way_from_the_index_are_found(page):
    start, lost = page("[x](x.md)\n", "index.md"), page("# lost\n", "lost.md")
    x = page("[back](index.md)\n", "x.md")
    assert reached(start.path, {p.path: p for p in (start, x, lost)}) == {start.path, x.path}

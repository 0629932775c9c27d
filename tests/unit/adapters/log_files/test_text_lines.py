from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cancorderd.adapters.log_files.text_lines import LONGEST_LINE, lines


@given(
    st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"\xff", b"\xc3\xa4"]), max_size=20),
    st.data(),
)
def test_any_split_gives_the_same_lines(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    chunks = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert list(lines(chunks)) == list(lines([whole]))


def test_line_that_is_too_long_is_one_line_and_is_not_kept() -> None:
    chunks = [b"a\n", *[b"x" * 10_000] * 30, b"\n", b"b\n", b"y" * (LONGEST_LINE + 1)]
    found = [(line.number, line.text, line.too_long, line.complete) for line in lines(chunks)]
    assert found == [(1, "a", False, True), (2, "", True, True), (3, "b", False, True), (4, "", True, False)]


def test_block_of_zeros_of_any_length_is_a_nul_byte_before_its_line() -> None:
    for count in (LONGEST_LINE, LONGEST_LINE + 1, 10 * LONGEST_LINE):
        for chunk in (1 << 16, 1 << 30):
            data = bytes(count) + b"a\nb\n" + bytes(count)
            chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]
            found = [(line.text.strip("\0"), line.text[:1] == "\0", line.too_long) for line in lines(chunks)]
            assert found == [("a", True, False), ("b", False, False), ("", True, False)]


def test_zeros_within_a_line_do_not_join_its_parts() -> None:
    data = b"(1.0) can0 123#11" + bytes(3 * LONGEST_LINE) + b"22\n"
    for chunk in (1000, 1 << 16, 1 << 30):
        (line,) = lines([data[at : at + chunk] for at in range(0, len(data), chunk)])
        assert line.too_long or "\0" in line.text.strip("\0")


def test_line_that_is_no_utf_8_is_read_byte_by_byte() -> None:
    assert [(line.number, line.text) for line in lines([b"a\n\xffb\n\xc3\xa4\n"])] == [
        (1, "a"), (2, "\xffb"), (3, "\u00e4"),
    ]  # fmt: skip


def test_only_the_beginning_of_a_file_may_be_a_byte_order_mark() -> None:
    texts = [line.text for line in lines([b"\xef\xbb\xbfa\n", b"\xef\xbb\xbfb\n"])]
    assert texts == ["a", "\ufeffb"]
    texts = [line.text for line in lines([b"", "c\nd\n".encode("utf-16")])]
    assert texts == ["c", "d"]

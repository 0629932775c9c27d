from __future__ import annotations

from cancorderd.protocol import packet_heads
from cancorderd.protocol.packet_heads import HeadCache


def test_beginning_is_checked_once_and_the_cache_has_a_bound() -> None:
    checked: list[int] = []

    def read(beginning: int) -> int:
        checked.append(beginning)
        return -beginning

    cache = HeadCache(read)
    count = packet_heads._MOST_BEGINNINGS
    for _ in range(2):
        assert [cache[beginning] for beginning in range(count)] == [-beginning for beginning in range(count)]
    assert checked == list(range(count)), "each once"
    for beginning in range(count, 4 * count):
        assert cache[beginning] == -beginning
        assert len(cache) <= count

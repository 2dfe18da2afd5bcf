"""A stream of events in gzip: whole pieces at once, the same bytes for every page, whenever it was opened."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from stepdown.dashboard.live import _GZIP, pack


@given(st.lists(st.binary(min_size=1)), st.integers(0, 3))
def test_a_page_reads_each_piece_as_it_comes_whatever_came_before(pieces: list[bytes], late: int) -> None:
    packed = [pack(piece) for piece in pieces]
    reader = zlib.decompressobj(wbits=31)  # gzip alone, as a browser has it
    assert reader.decompress(_GZIP) == b""
    assert [reader.decompress(one) for one in packed[late:]] == pieces[late:]


def test_a_piece_of_html_becomes_a_fraction() -> None:
    piece = b"".join(b'data: <tr><td class="n" data-value="%d">%d</td></tr>\n' % (number, number) for number in range(500))
    assert len(pack(piece)) < len(piece) / 5

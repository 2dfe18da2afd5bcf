from stepdown.upstream.headers import incoming, outgoing


def test_order_and_spelling_stay_and_the_encoding_is_asked_for_plainly() -> None:
    headers = [("X-Api-Key", "k"), ("anthropic-BETA", "a"), ("Accept-Encoding", "gzip, br"), ("User-Agent", "u")]
    assert outgoing(headers) == [
        ("X-Api-Key", "k"),
        ("anthropic-BETA", "a"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", "u"),
    ]


def test_an_encoding_is_asked_for_even_where_the_client_did_not_and_only_once_where_it_did_twice() -> None:
    assert outgoing([("a", "b")]) == [("a", "b"), ("accept-encoding", "identity")]
    assert outgoing([("accept-encoding", "br"), ("Accept-Encoding", "gzip")]) == [("accept-encoding", "identity")]


def test_what_a_connection_says_for_itself_stays_here() -> None:
    ours = ["Host", "Content-Length", "Expect", "Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade"]
    ours += ["Proxy-Authorization", "Proxy-Authenticate", "Proxy-Connection"]
    assert outgoing([(name, "1") for name in ours]) == [("accept-encoding", "identity")]


def test_headers_that_connection_names_stay_here_in_both_directions() -> None:
    headers = [("X-One", "1"), ("Connection", "close, X-ONE"), ("x-two", "2"), ("connection", " X-Two"), ("X-Three", "3")]
    assert outgoing(headers) == [("X-Three", "3"), ("accept-encoding", "identity")]
    assert incoming([(name.encode(), value.encode()) for name, value in headers]) == [("X-Three", "3")]


def test_an_answer_keeps_what_says_how_its_body_is_to_be_read() -> None:
    raw = [(b"Content-Encoding", b"br"), (b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked"), (b"X", b"\xe9\x01")]
    assert incoming(raw) == [("Content-Encoding", "br"), ("Content-Length", "5"), ("X", "\xe9\x01")]


def test_a_name_that_comes_twice_is_spelt_as_it_was_first() -> None:
    headers = [("X-A", "1"), ("b", "2"), ("x-a", "3")]
    assert outgoing(headers) == [("X-A", "1"), ("b", "2"), ("X-A", "3"), ("accept-encoding", "identity")]


def test_bytes_survive_where_they_are_utf8_and_become_latin1_letters_where_they_are_not() -> None:
    as_read = "é".encode().decode("latin-1")
    assert outgoing([("a", as_read), ("b", "\xff")])[:2] == [("a", "é"), ("b", "\xff")]

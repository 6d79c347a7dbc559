"""Settings of a session that need no session to be seen."""

import pytest

from ncs.lake.session import with_code_cache


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", "-XX:ReservedCodeCacheSize=256m"),
        ("-XX:TieredStopAtLevel=1", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"),
        ("-XX:ReservedCodeCacheSize=64m -Xss4m", "-XX:ReservedCodeCacheSize=64m -Xss4m"),
    ],
)
def test_a_jvm_has_room_for_compiled_code_unless_it_is_told_how_much(options: str, expected: str) -> None:
    assert with_code_cache(options) == expected

"""Bodies of vault events as hypothesis draws them: everything that the vault takes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def texts(size: int = 20) -> st.SearchStrategy[str]:
    """Any text that both databases keep, also beyond the basic plane and in either normal form."""
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=size)


def floats() -> st.SearchStrategy[float]:
    """Numbers that are not whole, down to the smallest subnormal."""
    broken = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
    return broken | st.sampled_from([5e-324, 2.2250738585072014e-308, 1e-7, 0.1, 1 / 3, -4503599627370495.5])


def bodies() -> st.SearchStrategy[dict[str, Any]]:
    """A body of a few nested facts."""
    plain = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | floats() | texts()
    inner = st.recursive(
        plain, lambda s: st.lists(s, max_size=4) | st.dictionaries(texts(8), s, max_size=4), max_leaves=12
    )
    return st.dictionaries(texts(8), inner, max_size=5)

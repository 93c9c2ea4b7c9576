"""Columns of a table as numbers: decimal commas, thousands, percent signs, missing values.

Two ways to write numbers are known: 1,234.5 and 1.234,5. Which one a file has is decided from all
its columns, as one value such as 1.234 fits both.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

_SIGN, _EXPONENT = r"\s*[+-]?", r"(?:[eE][+-]?\d+)?\s*%?\s*"
_POINT = rf"{_SIGN}(?:\d{{1,3}}(?:,\d{{3}})+|\d*)(?:\.\d*)?{_EXPONENT}"
_COMMA = rf"{_SIGN}(?:\d{{1,3}}(?:[.\s'’]\d{{3}})+|\d*)(?:,\d*)?{_EXPONENT}"
_THOUSANDS = r"\s*[+-]?\d{1,3}(?:\.\d{3})+\s*"


def is_time(column: pd.Series) -> bool:
    """Whether a column holds dates, periods or durations."""
    return column.dtype.kind in "mM" or isinstance(column.dtype, pd.PeriodDtype)


def is_text(column: pd.Series) -> bool:
    """Whether a column holds text, or categories or objects that may be."""
    return not (pd.api.types.is_numeric_dtype(column) or is_time(column))


def has_decimal_comma(columns: Iterable[pd.Series], separator: str) -> bool:
    """Whether the text of these columns is written with a decimal comma.

    separator: of fields; it decides where each column fits both ways.
    """
    either = False
    for column in columns:
        text = _text(column)
        text = text[text.str.contains(r"\d", regex=True)]
        if not len(text) or not text.head(20).str.fullmatch(f"{_POINT}|{_COMMA}").any():
            continue
        point, comma = (bool(text.str.fullmatch(form).all()) for form in (_POINT, _COMMA))
        if point != comma:
            return comma
        either |= point and bool(text.str.contains(",", regex=False).any())
    return either and separator != ","


def parsed(column: pd.Series, comma: bool, missing: Sequence[str] = ()) -> np.ndarray:
    """Values (T,) float64 of a column of numbers or text; NaN where missing or no number.

    comma: whether text has a decimal comma. missing: marks of missing values, text or numbers.
    """
    if is_text(column):
        text = _text(column).str.strip()
        thousands, decimal = (r"[.\s'’]", ",") if comma else (",", ".")
        form = _COMMA if comma else _POINT
        text = text.where(text.str.fullmatch(form) & ~text.isin(list(missing)))
        text = text.str.removesuffix("%").str.replace(thousands, "", regex=True)
        numbers = pd.to_numeric(text.str.replace(decimal, ".", regex=False), errors="coerce")
        numbers = numbers.reindex(column.index)
    else:
        numbers = column
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan).copy()
    marks = pd.to_numeric(pd.Series(list(missing), dtype=object), errors="coerce").dropna()
    values[np.isin(values, marks.to_numpy(np.float64))] = np.nan
    return values


def given(column: pd.Series, missing: Sequence[str] = ()) -> np.ndarray:
    """Whether a field holds something, (T,): it is neither empty nor a mark of a missing value."""
    found = column.notna().to_numpy()
    if is_text(column):
        text = column.astype(object).map(lambda value: str(value).strip(), na_action="ignore")
        found = found & ~(text.isin(list(missing)) | (text == "")).to_numpy(dtype=bool)
    return found


def all_thousands(text: pd.Series) -> bool:
    """Whether each field has points between groups of three digits alone, as 1.234."""
    text = text.dropna()
    return len(text) > 0 and bool(text.str.fullmatch(_THOUSANDS).all())


def _text(column: pd.Series) -> pd.Series:
    """The fields that hold something, as text."""
    return column.dropna().astype(object).map(str).astype("str")

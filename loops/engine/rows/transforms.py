"""Parse the transforms that a loop file may apply to a column: arithmetic on x, numbers and a closed set of functions."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "log": (np.log, 1),
    "log1p": (np.log1p, 1),
    "exp": (np.exp, 1),
    "sqrt": (np.sqrt, 1),
    "abs": (np.abs, 1),
    "min": (np.minimum, 2),
    "max": (np.maximum, 2),
    "clip": (np.clip, 3),
}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_LONGEST = 200
EXPECTED = "an expression of x, numbers, + - * / and " + ", ".join(FUNCTIONS)


def parse_transform(text: str) -> Callable[[Any], Any]:
    """Compile an expression to a function of one number or array.

    Where the result is not finite (such as the logarithm of a negative number) the function returns NaN, which counts as missing.
    Raises: ValueError, listing the allowed elements, for anything outside the closed set.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"expected at most {_LONGEST} characters: {EXPECTED}")
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"expected {EXPECTED}") from None
    if not any(isinstance(node, ast.Name) and node.id == "x" for node in ast.walk(body)):
        raise ValueError(f"expected x in it: {EXPECTED}")
    compiled = _compile(body)

    def apply(x: Any) -> Any:
        with np.errstate(all="ignore"):
            result = np.asarray(compiled(np.asarray(x, dtype=np.float64)), dtype=np.float64)
        result = np.where(np.isfinite(result), result, np.nan)
        return result if np.ndim(x) else float(result)

    return apply


def _compile(node: ast.expr) -> Callable[[Any], Any]:
    match node:
        case ast.Name(id="x"):
            return lambda x: x
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            number = _number(value)
            return lambda x: number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            binary, a, b = _BINARY[type(op)], _compile(left), _compile(right)
            return lambda x: binary(a(x), b(x))
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _UNARY:
            unary, inner = _UNARY[type(sign)], _compile(operand)
            return lambda x: unary(inner(x))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            function, count = FUNCTIONS[name]
            if len(args) != count:
                raise ValueError(f"{name} takes {count} argument(s)")
            parts = [_compile(a) for a in args]
            return lambda x: function(*(p(x) for p in parts))
    raise ValueError(f"expected {EXPECTED}")


def _number(value: int | float) -> np.float64:
    """Convert a constant to a float.

    Raises: ValueError when it is too large for a float.
    """
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise ValueError("expected numbers that a float can hold")
    return np.float64(number)

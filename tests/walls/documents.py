"""Documents name what exists, in sentences that can be read at once. ``python -m tests.walls.documents`` prints figures."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.system import ROOT
from tests.walls.source import modules, packages, parsed

LONGEST_SENTENCE, NINETIETH = 30, 25  # words
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[\w.-]+(?:/[\w.*-]+)+/?|[\w-]+\.(?:py|md|toml|yaml|json|html|txt|css|js)")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?=\(|$)")
_NAME = re.compile(r"[A-Za-z]\w*_\w+|[A-Z]\w*[a-z]\w*[A-Z]\w*|[A-Z]{3,}_?[A-Z]*")
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
_ELSEWHERE = re.compile(
    r"^(?:var|https?:|/|~|\.env|\.venv|\.\.)|^(?:api|admin|r3al)/"
)  # made at run time, or an address


def documents(root: Path) -> list[Path]:
    """Return every document for people: the Markdown files, tests and benchmarks included, packages of others not."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=root, capture_output=True, text=True, check=False).stdout
    return [root / name for name in listed.splitlines()] or sorted(root.glob("*.md")) + sorted(
        root.glob("docs/**/*.md")
    )


def missing_paths(root: Path) -> list[str]:
    """Return ``document: path`` for each path or link of a document that is not there."""
    return [
        f"{document.relative_to(root)}: {path}"
        for document in documents(root)
        for path in sorted(set(_paths(document.read_text(encoding="utf-8"))))
        if not _exists(root, document, path)
    ]


def _paths(text: str) -> Iterator[str]:
    for code in _CODE.findall(_without_blocks(text)):
        yield from (p for p in code.split() if _PATH.fullmatch(p) and not _ELSEWHERE.match(p))
    yield from (link for link in _LINK.findall(text) if "://" not in link)


def _exists(root: Path, document: Path, path: str) -> bool:
    return any(any(base.glob(path.rstrip("/"))) for base in (root, document.parent))


def missing_symbols(root: Path) -> list[str]:
    """Return ``document: symbol`` for each dotted or compound name in backticks that stands nowhere in the sources."""
    words, known, ours = _words(root), dict(modules(root)), set(packages(root))
    found = []
    for document in documents(root):
        if document.name == "CHANGELOG.md":
            continue  # it speaks of what was
        for code in sorted(set(_CODE.findall(_without_blocks(document.read_text(encoding="utf-8"))))):
            name = code.split("(")[0]
            if _DOTTED.fullmatch(name) and name.split(".")[0] in ours and not _PATH.fullmatch(name):
                missing = not _resolves(name, known)
            else:
                missing = bool(_NAME.fullmatch(name)) and not words & {
                    name,
                    name.removesuffix("_id"),
                }  # a relation's column
            if missing:
                found.append(f"{document.relative_to(root)}: {code}")
    return found


def _resolves(name: str, known: dict[str, Path]) -> bool:
    """Whether a dotted name is a module, or something that a module defines or holds in its text."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        module = ".".join(parts[:cut])
        if module in known:
            return all(re.search(rf"\b{part}\b", known[module].read_text(encoding="utf-8")) for part in parts[cut:])
    return False


@cache
def _words(root: Path) -> frozenset[str]:
    text = "".join(
        path.read_text(encoding="utf-8", errors="ignore")
        for pattern in ("*.py", "*.toml", "*.yaml", "*.html", ".env.example", "*.json", "Procfile")
        for path in root.rglob(pattern)
        if not {".venv", ".git", "var", ".peers"} & set(path.relative_to(root).parts)
    )
    return frozenset(re.findall(r"\w+", text))


def _without_blocks(text: str) -> str:
    """Drop fenced and indented blocks: examples, and the reader's own files."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return "\n".join(line for line in text.split("\n") if not line.startswith("    "))


def sentences(root: Path) -> list[tuple[int, str, str]]:
    """Return (words, document, sentence) of every sentence of prose in README, docs and the other documents."""
    found = []
    for document in documents(root):
        for sentence in _sentences(document.read_text(encoding="utf-8")):
            found.append((len(sentence.split()), str(document.relative_to(root)), sentence))
    return found


def _sentences(text: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*#|]|\d+\.)\s?)", _without_blocks(text)):
        for cell in re.split(r"\|", block):
            plain = re.sub(r"`[^`]*`", "x", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell))
            plain = re.sub(r"^[\s#*>-]+|^\s*\d+\.\s", "", plain.strip())
            plain = re.sub(r"\b(e\.g|i\.e|vs|cf)\.", r"\1", plain).replace("**", "")
            yield from (
                s.strip() for s in re.split(r"(?<=[.!?:])\s+(?=[A-Z\"(x])", " ".join(plain.split())) if s.strip()
            )


def pointing_docstrings(root: Path) -> list[str]:
    """Return ``module:line`` of each docstring that begins "The same", and so points at a neighbour."""
    return [
        f"{name}:{getattr(node, 'lineno', 1)}"
        for name, path in modules(root)
        for node in ast.walk(parsed(path))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and (ast.get_docstring(node) or "").startswith("The same")
    ]


def main() -> int:
    """Print how long the sentences are, and the longest."""
    found = sorted(sentences(ROOT), reverse=True)
    lengths = [words for words, _, _ in found]
    print(
        f"{len(found)} sentences, longest {lengths[0]}, 90th percentile {statistics.quantiles(lengths, n=10)[-1]:.0f} words"
    )
    for words, document, sentence in found:
        if words > LONGEST_SENTENCE or "--all" in sys.argv:
            print(f"{words:3d}  {document}: {sentence[:150]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

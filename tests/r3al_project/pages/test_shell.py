"""What every page inside the shell has: a way past the sidebar, and colours that can be read by day and by night."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from unfold.settings import CONFIG_DEFAULTS

from loops.models import LoopVersion
from tests.system import ROOT

CSS = (Path(ROOT) / "r3al_project/static/r3al/admin.css").read_text()
READABLE = 4.5  # WCAG 2.2, 1.4.3: contrast of text of normal size
Colour = tuple[float, float, float]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", ["admin:index", "training-dashboard", "privacy-page", "calibration", "notices", "admin:turns_turn_changelist",
             "admin:auth_user_add"]
)  # fmt: skip
def test_the_first_link_leads_past_the_sidebar(operator: Client, house: LoopVersion, name: str) -> None:
    text = operator.get(reverse(name)).content.decode()
    link = text.index('<a class="r3-skip" href="#content">')
    assert link < text.index("<a ", link + 1) and text.index("<a ") == link and link < text.index('id="nav-sidebar"')
    assert text.count('id="content"') == 1


@pytest.mark.django_db
def test_a_page_without_a_sidebar_has_nothing_to_skip(operator: Client, client: Client) -> None:
    assert b"r3-skip" not in operator.get(reverse("admin:auth_user_add"), {"_popup": "1"}).content
    assert b"r3-skip" not in client.get("/admin/login/").content


def variables(selector: str) -> dict[str, str]:
    """The variables that the rules of a selector set."""
    rules = re.findall(rf"^{re.escape(selector)} \{{(.*?)\}}", CSS, re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"(--[\w-]+):\s*([^;]+);", " ".join(rules)))


def luminance(colour: str, names: dict[str, str]) -> float:
    """The relative luminance of ``#rgb``, ``#rrggbb``, ``oklch(...)`` or a variable."""
    if named := re.fullmatch(r"var\((--[\w-]+)\)", colour):
        return luminance(names[named[1]], names)
    if colour.startswith("#"):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        linear = [_linear(int(digits[i : i + 2], 16) / 255) for i in (0, 2, 4)]
    else:
        linear = [min(max(x, 0.0), 1.0) for x in _from_oklch(*_oklch(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _linear(x: float) -> float:
    return x / 12.92 if x <= 0.04045 else float(((x + 0.055) / 1.055) ** 2.4)


def _oklch(colour: str) -> Colour:
    found = re.fullmatch(r"oklch\(([\d.]+)% ([\d.]+) ([\d.]+)\)", colour)
    assert found, colour
    return float(found[1]) / 100, float(found[2]), math.radians(float(found[3]))


def _from_oklch(light: float, chroma: float, hue: float) -> Colour:
    """Linear sRGB. Source: Björn Ottosson, "A perceptual color space for image processing" (2020)."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


THEME = {
    f"--color-{name}-{weight}": value
    for name in ("base", "primary")
    for weight, value in CONFIG_DEFAULTS["COLORS"][name].items()
}
DAY = THEME | variables(":root")
NIGHT = DAY | variables(".dark") | {"--color-primary-500": variables("html.dark").get("--color-primary-500", "")}
OURS = [name for name in variables(":root") if name not in ("--r3-rule", "--r3-card")]


def contrast(text: str, ground: str, names: dict[str, str]) -> float:
    low, high = sorted(luminance(f"var({name})", names) for name in (text, ground))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("text", OURS)
@pytest.mark.parametrize("names", [DAY, NIGHT], ids=["day", "night"])
def test_our_words_can_be_read_on_a_card(names: dict[str, str], text: str) -> None:
    assert contrast(text, "--r3-card", names) >= READABLE


def test_the_themes_links_can_be_read() -> None:
    """By night they have the theme's 500, which alone has 4.3 on its ground."""
    assert contrast("--color-primary-600", "--r3-card", DAY) >= READABLE
    assert contrast("--color-primary-500", "--color-base-900", NIGHT) >= READABLE
    assert contrast("--color-primary-500", "--color-base-900", THEME) == pytest.approx(4.3, abs=0.1)

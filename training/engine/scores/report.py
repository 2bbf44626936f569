"""Write the report of one synthetic-data job as a single HTML file: no script, no request to anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from core.arrays import Floats
from training.engine.scores.encoding import Bins
from training.engine.scores.measures import Measure
from training.engine.scores.report_charts import axis_number, column_chart, curve_chart, escaped, pair_chart
from training.engine.scores.report_style import STYLE
from training.engine.scores.sampling import MOST_SCORED_ROWS, sampled
from training.engine.scores.scores import Failure, Scores
from training.engine.tables.table import Table

_PAIRS, _COLUMNS = 6, 60
_MEANS = {
    "similarity": "Columns and pairs of columns resemble real rows: 0 is a shuffle of each column, 1 is fresh real rows.",
    "shape": "Each column's values occur as often as in real rows.",
    "pairs": "Values of two columns meet as often as in real rows.",
    "indistinguishable": "A classifier cannot tell synthetic from real rows: 1 means it guesses, 0 means it always knows.",
    "detection": "The classifier's area under the curve. Half is best.",
    "use": "What models learn from synthetic rows about real ones, as a share of what real rows teach.",
    "coverage": "The share of real rows that have a synthetic row close by, beside other real rows.",
    "distinct": "How few rows are repeated, beside real rows.",
    "support": "The share of categories and ends of numbers that did not go missing.",
    "membership": "The best attack's area under the curve: who was in the training rows? Half means it guesses.",
    "membership_tpr": "The share of people found in the training rows while 1 in 100 outsiders is taken for one. 1% is a guess.",
    "attribute_inference": "How much more often a hidden value is guessed of people in the training rows than of others.",
    "duplicates": "The share of rows that equal a training row.",
    "chance_duplicates": "The share of rows that equal one of as many real rows that nobody trained on.",
    "closest_record_share": "The share of rows nearer to a training row than to a holdout row. Half is usual.",
}
_SCORES = {
    "quality": ("Quality", "Do the rows look and work like real ones?", ("similarity", "indistinguishable", "use")),
    "diversity": ("Diversity", "Is the whole variety there?", ("coverage", "distinct", "support")),
    "privacy": ("Privacy", "Can people be found again?", ("membership", "membership_tpr", "attribute_inference")),
}
_SHARES = {"membership_tpr", "duplicates", "chance_duplicates", "closest_record_share", "attribute_inference"}


@dataclass(frozen=True)
class ReportFacts:
    """Hold what a report says beside scores and tables.

    ``guarantee``: the source's privacy guarantee in one sentence. ``facts``: further lines, such as seed and date, by name.
    ``curves``: steps (n,) and losses (n,) by name, such as training and holdout.
    """

    title: str
    method: str
    source: str
    guarantee: str
    threshold: float
    facts: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, tuple[Floats, Floats]] = field(default_factory=dict)


def html_report(facts: ReportFacts, scores: Scores, synthetic: Table, real: Table | None, *, seed: int) -> str:
    """Return the whole page.

    Args:
        real: rows that may be shown beside the synthetic ones, such as released ones. None shows synthetic rows alone.
        seed: of the sample of rows that the charts draw.
    """
    rng = np.random.default_rng([seed, 9])
    made = sampled(synthetic, MOST_SCORED_ROWS, rng)
    shown = None if real is None else sampled(real, MOST_SCORED_ROWS, rng)
    failures = scores.verdict(facts.threshold)
    parts = [
        _verdict(facts, scores, failures),
        _tiles(scores, facts.threshold),
        _failures(failures, scores),
        _columns(made, shown, scores),
        _pairs(made, shown, scores),
        _parts(scores),
        _curves(facts),
        _origin(facts, scores),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(facts.title)}</title><style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def verdict_sentences(scores: Scores, failures: tuple[Failure, ...]) -> tuple[str, str]:
    """Return the verdict in one headline and one sentence, for people who read nothing else."""
    if failures:
        names = " and ".join(f.score for f in failures)
        return "Refused: no rows were kept", f"The rows fail on {names}. What to do is below."
    if scores.low_data:
        return "Kept, but hardly tested", "There are too few rows to judge them well. Do not rely on the scores."
    worst = min(("quality", "diversity", "privacy"), key=lambda n: score_named(scores, n))
    return "Kept", f"All scores pass. The lowest is {worst}, with {score_named(scores, worst):.2f} of 1."


def score_named(scores: Scores, name: str) -> float:
    """Return one of the three scores by name."""
    return {"quality": scores.quality, "diversity": scores.diversity, "privacy": scores.privacy}[name]


def _verdict(facts: ReportFacts, scores: Scores, failures: tuple[Failure, ...]) -> str:
    headline, sentence = verdict_sentences(scores, failures)
    mood = "bad" if failures else "unsure" if scores.low_data else "good"
    rows = f"{scores.rows['synthetic_rows']:,} rows by {facts.method}"
    return (
        f'<header class="{mood}"><p class="over">{escaped(facts.title)} · {escaped(rows)}</p>'
        f"<h1>{escaped(headline)}</h1><p>{escaped(sentence)}</p></header>"
    )


def _tiles(scores: Scores, threshold: float) -> str:
    out = ""
    for name, (label, question, parts) in _SCORES.items():
        value = score_named(scores, name)
        mood = "good" if value >= threshold else "bad"
        why = "".join(f"<li>{_label(p)} <b>{_shown(scores.parts[p])}</b></li>" for p in parts if p in scores.parts)
        out += (
            f'<section class="tile {mood}"><h2>{label}</h2><p class="big">{value:.2f}</p>'
            f'<div class="bar" role="img" aria-label="{value:.2f} of 1, bar {threshold:g}">'
            f'<span style="width:{value * 100:.1f}%"></span><i style="left:{threshold * 100:.1f}%"></i></div>'
            f'<p class="small">Must be at least {threshold:g}. {question}</p><ul>{why}</ul></section>'
        )
    return f'<div class="tiles">{out}</div>'


def _failures(failures: tuple[Failure, ...], scores: Scores) -> str:
    items = "".join(
        f"<li><b>{escaped(f.score.capitalize())} {f.value:.2f}, must be at least {f.bar:g}.</b> {escaped(f.reason)}.</li>"
        for f in failures
    )
    warnings = "".join(f"<li>{escaped(a)}.</li>" for a in scores.alarms)
    out = f"<section><h2>What failed, and what to do</h2><ul>{items}</ul></section>" if items else ""
    return out + (f"<section><h2>Worth knowing</h2><ul>{warnings}</ul></section>" if warnings else "")


def _columns(made: Table, real: Table | None, scores: Scores) -> str:
    worse = scores.resemblance.columns if scores.resemblance else {}
    columns = sorted(made.schema.columns, key=lambda c: -worse.get(c.name, 0.0))[:_COLUMNS]
    charts = "".join(
        f"<figure><figcaption>{escaped(c.name)}{_distance(worse.get(c.name))}</figcaption>"
        f"{column_chart(c, None if real is None else real.columns[c.name], made.columns[c.name])}</figure>"
        for c in columns
    )
    left = len(made.schema.columns) - len(columns)
    more = f'<p class="small">{left} more columns, all closer to real rows, are not shown.</p>' if left else ""
    legend = '<span class="key made"></span> synthetic'
    if real is not None:
        legend += ' <span class="key real"></span> real'
    return (
        f'<section><h2>Columns</h2><p class="small">{legend}. The columns that differ most come first. The distance is beyond '
        f'what fresh real rows would have, from 0 to 1.</p><div class="charts">{charts}</div>{more}</section>'
    )


def _distance(value: float | None) -> str:
    return "" if value is None else f' <span class="small">distance {value:.2f}</span>'


def _pairs(made: Table, real: Table | None, scores: Scores) -> str:
    if scores.resemblance is None or not scores.resemblance.pairs or real is None:
        return ""
    beyond = scores.resemblance.pairs
    worst = sorted(beyond, key=lambda p: -beyond[p])[:_PAIRS]
    bins = Bins.of(real, 8)
    charts = "".join(
        f"<figure><figcaption>{escaped(a)} and {escaped(b)}{_distance(max(beyond[a, b], 0.0))}</figcaption>"
        f"{pair_chart(bins, (a, b), real, made)}</figure>"
        for a, b in worst
    )
    return (
        f'<section><h2>Pairs that differ most</h2><p class="small">Darker cells hold more rows. Numbers are cut at the real '
        f"rows&#39; quantiles; the first row or column holds missing values, if there are any.</p>"
        f'<div class="charts">{charts}</div></section>'
    )


def _parts(scores: Scores) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_label(name)}</th><td>{_shown(part)}</td><td>{_interval(part)}</td>'
        f"<td>{part.rows:,} {part.unit}</td><td>{escaped(_MEANS.get(name, ''))}"
        f"{' ' + escaped(part.note.capitalize()) + '.' if part.note else ''}</td></tr>"
        for name, part in scores.parts.items()
    )
    return (
        '<section><h2>Every part</h2><div class="table"><table><thead><tr><th>Part</th><th>Value</th><th>95% interval</th>'
        f"<th>Computed on</th><th>What it means</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _label(name: str) -> str:
    special = {
        "use": "Use downstream", "membership": "Membership attack", "membership_tpr": "People found at 1% false alarms",
        "closest_record_share": "Nearer to training rows", "chance_duplicates": "Duplicates by chance",
        "detection": "Detection",
    }  # fmt: skip
    return special.get(name, name.replace("_", " ").capitalize())


def _shown(part: Measure) -> str:
    return f"{part.value:.1%}" if part.name in _SHARES else f"{part.value:.3f}"


def _interval(part: Measure) -> str:
    if part.low is None or part.high is None:
        return "-"
    low, high = max(part.low, -1.0), min(part.high, 1.0)
    return f"{low:.1%} to {high:.1%}" if part.name in _SHARES else f"{low:.3f} to {high:.3f}"


def _curves(facts: ReportFacts) -> str:
    chart = curve_chart(facts.curves)
    if not chart:
        return ""
    return (
        '<section><h2>Fit</h2><p class="small">Loss by step. Where the holdout curve rises while the training curve falls, the '
        f'method began to memorise.</p><div class="wide">{chart}</div></section>'
    )


def _origin(facts: ReportFacts, scores: Scores) -> str:
    lines = {
        "Method": facts.method,
        "Source": facts.source,
        "Guarantee of the source": facts.guarantee,
        **facts.facts,
        **{k.replace("_", " ").capitalize(): axis_number(v) for k, v in scores.rows.items()},
    }
    items = "".join(f"<dt>{escaped(k)}</dt><dd>{escaped(v)}</dd>" for k, v in lines.items())
    return (
        f"<section><h2>Where the rows come from</h2><dl>{items}</dl>"
        f'<p class="small">Scores read at most {MOST_SCORED_ROWS:,} rows of a table, drawn with the job&#39;s seed. '
        "An attack that fails proves nothing by itself: only the source's guarantee holds against every attack.</p></section>"
    )

"""State what a browser may do with the report on a synthetic table, which the API and a page show."""

from __future__ import annotations

# A report needs its own styles and nothing else. Its sandbox runs no script, whatever the report holds.
REPORT_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'; sandbox"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}

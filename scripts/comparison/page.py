"""One HTML file that needs no other: tables, pictures and videos inside."""

import base64
import html
import pathlib
from collections.abc import Sequence

from scripts.comparison.table import Table

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; margin: 0 auto;
  max-width: 1300px; padding: 1em 2em 4em; }}
h2 {{ margin: 2em 0 .5em; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 14px; }}
th, td {{ padding: .3em .8em; text-align: left; vertical-align: bottom; }}
td {{ min-width: 8ch; max-width: 40ch; vertical-align: top; }}
th {{ border-bottom: 2px solid #222; }}
td {{ border-bottom: 1px solid #ddd; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
td.number {{ min-width: 0; white-space: nowrap; }}
.note, figcaption {{ color: #555; font-size: 14px; max-width: 75ch; }}
figure {{ margin: 1em 0; }}
img {{ max-width: 100%; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def picture(data: bytes, kind: str, caption: str) -> str:
    """An image as a figure whose bytes are in the page.

    Args:
        data: The file's content.
        kind: "png" or "gif".
        caption: Plain text.
    """
    encoded = base64.b64encode(data).decode()
    text = html.escape(caption)
    return (
        f'<figure><img src="data:image/{kind};base64,{encoded}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def render(
    title: str,
    introduction: str,
    tables: Sequence[Table],
    plots: Sequence[tuple[pathlib.Path, str]],
    videos: Sequence[tuple[bytes, str]],
    problems: Sequence[str],
) -> str:
    """Puts the page together.

    Args:
        title: Plain text, like all others.
        introduction: What the page shows.
        tables: In their order; the first stands above the plots.
        plots: PNG files and their captions.
        videos: The content of GIF files, and their captions.
        problems: What could not be used.
    """
    parts = [f"<p>{html.escape(introduction)}</p>", tables[0].html()]
    parts += [f"<p class=note>{html.escape(line)}</p>" for line in problems]
    parts.append("<h2>Learning curves</h2>")
    parts += [picture(p.read_bytes(), "png", text) for p, text in plots]
    parts += [table.html() for table in tables[1:]]
    parts.append("<h2>Videos</h2>")
    parts += [picture(data, "gif", text) for data, text in videos]
    if not videos:
        parts.append("<p>None of the runs has any.</p>")
    return _PAGE.format(title=html.escape(title), body="\n".join(parts))

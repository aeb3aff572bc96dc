"""The frame of a page for people: one file, without scripts or outside files."""

import html

_STYLE = """
body {
  font: 16px/1.5 system-ui, sans-serif; max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; color: #222;
  }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.2rem } svg { max-width: 100%; height: auto }
table { border-collapse: collapse }
td, th { border-bottom: 1px solid #ddd; padding: .25rem .7rem .25rem 0; text-align: left }
.note { color: #555; font-size: .9rem } li { margin: .4rem 0 } details { margin: .6rem 0 }
"""


def html_page(title: str, body: str) -> str:
    """The whole page; `body` is HTML, `title` is anybody's text."""
    shown = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{shown}</title>'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style></head>\n'
        f"<body><h1>{shown}</h1>\n{body}\n</body></html>\n"
    )

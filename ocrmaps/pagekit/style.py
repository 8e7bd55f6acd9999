"""The one style sheet of all pages. Colors reach a contrast of 4.5 to 1 for text in both schemes."""

from __future__ import annotations

_LIGHT = {
    "back": "#ffffff",
    "panel": "#f4f6f8",
    "line": "#d0d7de",
    "edge": "#7d8590",
    "text": "#1c2128",
    "quiet": "#57606a",
    "accent": "#0a5fb4",
    "soft": "#9cc2e8",
    "problem": "#a8231b",
    "note": "#755000",
    "good": "#17652f",
    "second": "#a03d8e",
    "third": "#0b6e6e",
    "fourth": "#8a5a00",
}
_DARK = {
    "back": "#0f1419",
    "panel": "#1a2129",
    "line": "#343d48",
    "edge": "#717d8b",
    "text": "#e4e8ec",
    "quiet": "#9da8b5",
    "accent": "#6db3f8",
    "soft": "#2d5f92",
    "problem": "#ff8f86",
    "note": "#e5b750",
    "good": "#78d796",
    "second": "#e59ad6",
    "third": "#63cfc9",
    "fourth": "#e0ae5c",
}
COLORS: tuple[dict[str, str], dict[str, str]] = (_LIGHT, _DARK)
"""Light and dark, by role. `edge` is for the borders of controls, which reach 3 to 1."""


def _variables(colors: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colors.items())


STYLE = (
    f":root{{color-scheme:light dark;{_variables(_LIGHT)}}}"
    f"@media(prefers-color-scheme:dark){{:root{{{_variables(_DARK)}}}}}"
    + """
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
@media(prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--back);color:var(--text);
  font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header,main{max-width:76rem;margin:0 auto;padding:0 clamp(1rem,3vw,2rem)}
header{padding-top:clamp(1.25rem,4vw,2.5rem)}
main{padding-bottom:4rem}
h1{font-size:clamp(1.5rem,4vw,2.1rem);line-height:1.2;margin:0 0 .5rem;overflow-wrap:anywhere;letter-spacing:-.01em}
h2{font-size:1.3rem;line-height:1.3;margin:2.75rem 0 .75rem;padding-top:1rem;border-top:1px solid var(--line);
  overflow-wrap:anywhere}
h3{font-size:1rem;margin:1.5rem 0 .5rem;overflow-wrap:anywhere}
p{margin:.4rem 0;max-width:72ch;overflow-wrap:anywhere}
header>p{color:var(--quiet)}
small,.remark,figcaption,.caption{color:var(--quiet);font-size:.875rem}
a{color:var(--accent);text-underline-offset:.2em}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:3px}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:1rem 0 0;padding:0}
nav li{min-width:0;overflow-wrap:anywhere}
nav a{display:inline-block;max-width:100%;padding:.35rem 0}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.75rem;margin:1.5rem 0}
.card{background:var(--panel);border-radius:.6rem;padding:.75rem 1rem;border-left:4px solid transparent}
.card dt{color:var(--quiet);font-size:.875rem}
.card dd{margin:0}
.card b{display:block;font-size:1.5rem;line-height:1.3;font-weight:650;overflow-wrap:anywhere}
.card span{display:block;color:var(--quiet);font-size:.8125rem;line-height:1.4}
.card.problem{border-color:var(--problem)}.card.problem b{color:var(--problem)}
.card.note{border-color:var(--note)}
.card.good{border-color:var(--good)}.card.good b{color:var(--good)}
.scroll{overflow-x:auto;margin:1rem 0;max-width:100%}
table{border-collapse:collapse;font-size:.9375rem;font-variant-numeric:tabular-nums}
.caption{margin:1rem 0 0}
.caption+.scroll{margin-top:.25rem}
th,td{padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{font-weight:600}
tbody th{font-weight:500}
thead th{color:var(--quiet);font-size:.8125rem;vertical-align:bottom}
.n{text-align:right;white-space:nowrap;padding-left:.9rem;padding-right:0}
.t{min-width:15rem}
.n+td:not(.n),.n+th:not(.n){padding-left:1.4rem}
.callout{border-left:4px solid var(--line);background:var(--panel);border-radius:.35rem;padding:.6rem 1rem;
  margin:.75rem 0}
.callout p{margin:.15rem 0}
.callout.problem{border-color:var(--problem)}.callout.note{border-color:var(--note)}.callout.good{
  border-color:var(--good)}
.tone{font-weight:700;font-size:.8125rem;text-transform:uppercase;letter-spacing:.04em;margin-right:.4em}
.problem .tone{color:var(--problem)}.note .tone{color:var(--note)}.good .tone{color:var(--good)}
details{margin:.5rem 0}
summary{cursor:pointer;color:var(--accent);padding:.3rem 0;width:fit-content}
pre{margin:0;font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
figure{margin:0;min-width:0}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1.5rem 2rem;
  margin:1rem 0;align-items:start}
svg{display:block;width:100%;max-width:34rem;height:auto}
svg text{fill:var(--quiet);font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
svg .value{fill:var(--text)}
svg .bar{fill:var(--accent)}
.wide svg{max-width:52rem;min-width:34rem}
svg .whisker{stroke:var(--text);stroke-width:1.5;fill:none}
svg .rest{fill:var(--soft)}
svg .axis{stroke:var(--line);stroke-width:1;fill:none}
svg .mark{stroke:var(--note);stroke-width:1.5;stroke-dasharray:4 3}
svg .mark-text{fill:var(--note)}
svg .series{fill:none;stroke-width:2.5;stroke-linejoin:round}
svg .s0{stroke:var(--accent)}svg .s1{stroke:var(--second);stroke-dasharray:7 3}
svg .s2{stroke:var(--third);stroke-dasharray:2 3}svg .s3{stroke:var(--fourth);stroke-dasharray:9 3 2 3}
.gallery{list-style:none;margin:1rem 0;padding:0;display:grid;
  grid-template-columns:repeat(auto-fill,minmax(min(46%,13rem),1fr));gap:1.25rem 1rem}
.gallery img{width:100%;height:15rem;object-fit:contain;background:var(--panel);border-radius:.35rem;display:block}
.gallery p{font-size:.8125rem;line-height:1.4;margin:.4rem 0 0;color:var(--quiet)}
.gallery b{color:var(--text);font-weight:600}
.key{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:.5rem 0;padding:0;font-size:.875rem;
  color:var(--quiet)}
.key i{display:inline-block;width:1.4em;height:.5em;border-radius:2px;margin-right:.45em;vertical-align:.1em}
@media(max-width:30rem){.cards{grid-template-columns:1fr 1fr}.card{padding:.6rem .75rem}.card b{
  font-size:1.25rem}.gallery img{height:12rem}}
@media print{details>*{display:block}h2{break-after:avoid}figure,.card,.gallery li{break-inside:avoid}}
"""
)

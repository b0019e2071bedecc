"""The style of edgeau's pages: light and dark, screen, phone and paper.

On a phone the rows of a table become cards, whose cells carry the name of their column. The second half of a colour's
name is its number in `plots.PALETTE`; whatever colours show is also shown by shapes, numbers or words.
"""

STYLE = """\
  :root { color-scheme: light dark; --page: #ffffff; --ink: #1c2430; --muted: #56606e; --line: #d3d8df; --soft: #f3f5f8;
          --warn: #fff4d6; --warn-edge: #b98900;
          --c0: #0072B2; --c1: #E69F00; --c2: #009E73; --c3: #CC79A7; --c4: #56B4E9; --c5: #D55E00; }
  @media (prefers-color-scheme: dark) {
    :root { --page: #14181e; --ink: #e8ecf1; --muted: #a7b1bf; --line: #3a424d; --soft: #1e242c;
            --warn: #3a3014; --warn-edge: #e0b040;
            --c0: #4aa8e0; --c1: #f0b429; --c2: #2cc59a; --c3: #e09cc4; --c4: #8fd0f5; --c5: #f08040; }
  }
  * { box-sizing: border-box; }
  body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 1280px;
         margin: 1.5rem auto; padding: 0 1rem; }
  h1 { font-size: 1.6rem; margin: 0 0 .5rem; line-height: 1.25; }
  h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: .8rem 0 .2rem; }
  p { max-width: 78ch; } a { color: inherit; }
  table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
  th, td { padding: .3rem .4rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
  th { font-weight: 600; background: var(--soft); }
  td { overflow-wrap: anywhere; }
  .figures td { white-space: nowrap; }
  th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left; }
  .words td, .words th { text-align: left; }
  .claims td:nth-child(5) { white-space: pre-line !important; }
  @media screen and (min-width: 761px) {
    .claims td:first-child { white-space: nowrap; } .claims td:nth-child(4) { min-width: 9.5rem; }
    .claims td:nth-child(5) { min-width: 33rem; }
    .words.figures td:last-child { white-space: normal; }
  }
  .pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr)); gap: .5rem 2rem;
              align-items: start; }
  figure { margin: .5rem 0; break-inside: avoid; } img, svg { max-width: 100%; height: auto; display: block; }
  svg { width: 100%; max-width: 640px; } figcaption, .muted { color: var(--muted); font-size: 14px; }
  .warning { background: var(--warn); border-left: 4px solid var(--warn-edge); padding: .4rem .8rem; margin: .6rem 0; }
  summary { cursor: pointer; font-weight: 600; }
  svg text { font: 14px system-ui, sans-serif; fill: var(--ink); }
  svg text.soft { fill: var(--muted); font-size: 13px; }
  svg text.strong { font-weight: 600; }
  svg .grid { stroke: var(--line); stroke-width: 1; } svg .ink { stroke: var(--ink); stroke-width: 1.5; }
  svg .roof { stroke: var(--ink); stroke-width: 2; fill: none; }
  svg .trace { stroke: var(--muted); stroke-width: 1.5; fill: none; } svg .dash1 { stroke-dasharray: 8 4; }
  svg .dash2 { stroke-dasharray: 2 3; }
  svg .c0 { fill: var(--c0); stroke: var(--c0); } svg .c1 { fill: var(--c1); stroke: var(--c1); }
  svg .c2 { fill: var(--c2); stroke: var(--c2); } svg .c3 { fill: var(--c3); stroke: var(--c3); }
  svg .c4 { fill: var(--c4); stroke: var(--c4); } svg .c5 { fill: var(--c5); stroke: var(--c5); }
  svg .shape { fill-opacity: .55; } svg .hollow { fill: var(--page); stroke-width: 2; }
  @media screen and (max-width: 760px) {
    body { padding: 0 .7rem; }
    table, tbody, tr, td { display: block; width: 100%; }
    .figures tr { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1.4rem; }
    tr { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .2rem .6rem; }
    tr:has(th), .figures tr:has(th) { display: none; }
    td, .words td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .1rem 0;
                    text-align: right; white-space: normal !important; }
    td::before { content: attr(data-name); color: var(--muted); text-align: left; flex: none; max-width: 45%; }
  }
  @media print {
    :root { --page: #fff; --ink: #000; --muted: #333; --line: #bbb; --soft: #eee; --warn: #fff; }
    body { max-width: none; margin: 0; font-size: 10pt; } table { font-size: 8pt; } th, td { padding: .15rem .25rem; }
    .pictures { grid-template-columns: 1fr 1fr; gap: .2rem 1rem; }
    tr, figure { break-inside: avoid; } h2, h3 { break-after: avoid; } details > *:not(summary) { display: block; }
    * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
    @page { margin: 12mm; }
  }
"""

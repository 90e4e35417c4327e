# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the page of status.yml looks: without any other file, light or dark, on a phone or a desk."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --ink: #1a2029; --soft: #5b6675; --line: #e1e5ea; --well: #eef1f4;
  --promoted: #1f6feb; --draining: #d98a00; --staged: #8a96a6; --good: #1a7f4b; --bad: #c8322b; --bar: #7aa7f0;
  --good-well: #e3f4ea; --bad-well: #fdeceb; --draining-well: #fdf3dd; --draining-ink: #8a5600;
  --promoted-well: #e6effd;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1319; --card: #181e26; --ink: #e7ebf0; --soft: #98a4b3; --line: #2a323d; --well: #212934;
    --promoted: #5b9bff; --draining: #eba937; --staged: #7d8997; --good: #4cc38a; --bad: #ff7b72; --bar: #416bb0;
    --good-well: #12301f; --bad-well: #3a1a1a; --draining-well: #36290f; --draining-ink: #eba937;
    --promoted-well: #152a4b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 40px; display: grid; gap: 18px; }
h1 { margin: 0; font-size: 28px; line-height: 1.2; letter-spacing: -0.01em; }
h2 { margin: 0 0 14px; font-size: 16px; }
h2 small, p small { font-weight: 400; font-size: 13px; color: var(--soft); }
p { margin: 0; }
code { font: 12.5px/1.4 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
header { display: flex; flex-wrap: wrap; gap: 6px 18px; align-items: center; justify-content: space-between; }
header p { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px 20px; min-width: 0; }
.verdict { font-weight: 600; color: var(--good); background: var(--good-well); border-color: transparent; }
.verdict.bad { color: var(--bad); background: var(--bad-well); }
.verdict ul { margin: 8px 0 0; padding-left: 20px; font-weight: 400; color: var(--ink); }
.verdict li { margin: 4px 0; overflow-wrap: anywhere; }
.frozen { background: var(--promoted-well); border-color: transparent; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 18px; }
.tiles p { color: var(--soft); font-size: 13px; }
.tiles strong { display: block; color: var(--ink); font-size: 24px; line-height: 1.3; overflow-wrap: anywhere; }
.pill {
  display: inline-block; padding: 1px 9px; border-radius: 999px; font-size: 13px; font-weight: 600; white-space: nowrap;
  background: var(--well); color: var(--soft);
}
.pill.Promoted { background: var(--promoted-well); color: var(--promoted); }
.pill.Draining, .pill.Drained { background: var(--draining-well); color: var(--draining-ink); }
.pill.DrainBlocked, .pill.Stranded, .pill.Degraded { background: var(--bad-well); color: var(--bad); }

.timeline { display: grid; gap: 10px; }
.lane { display: grid; grid-template-columns: minmax(70px, max-content) 1fr; gap: 14px; align-items: center; }
.timeline .lane > b { width: 110px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.track { position: relative; height: 22px; border-radius: 6px; background: var(--well); }
.span { position: absolute; top: 0; bottom: 0; min-width: 3px; border-radius: 4px; }
.span.promoted { background: var(--promoted); }
.span.draining {
  top: 6px; bottom: 6px;
  background: repeating-linear-gradient(115deg, var(--draining) 0 5px, transparent 5px 8px) var(--draining-well);
}
.span.staged { top: 6px; bottom: 6px; border: 1.5px solid var(--staged); background: var(--card); }
.mark { position: absolute; top: -3px; bottom: -3px; width: 3px; margin-left: -1px; border-radius: 2px; }
.mark { background: var(--ink); box-shadow: 0 0 0 1.5px var(--card); }
.mark.rolled { background: var(--bad); }
.scale { position: relative; height: 18px; font-size: 12px; color: var(--soft); }
.scale span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; margin-top: 12px; font-size: 13px; color: var(--soft); }
.key span { display: inline-flex; align-items: center; gap: 7px; }
.key .span, .key .mark { position: static; margin: 0; height: 12px; }
.key .span { width: 22px; }
.key .mark { width: 3px; height: 14px; }
.events { list-style: none; margin: 16px 0 0; padding: 14px 0 0; border-top: 1px solid var(--line); }
.events li { display: grid; grid-template-columns: 110px 1fr; gap: 14px; padding: 2px 0; }
.events time { color: var(--soft); font-variant-numeric: tabular-nums; }

table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: 13px; font-weight: 500; color: var(--soft); }
th, td { padding: 8px 14px 8px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:last-child > * { border-bottom: 0; padding-bottom: 0; }
th:last-child, td:last-child { padding-right: 0; }
tbody th { font-size: 15px; font-weight: 600; color: var(--ink); overflow-wrap: break-word; }
.number { text-align: right; }
.versions td { white-space: nowrap; }
.versions td:nth-child(2) { white-space: normal; width: 34%; }
td small { display: block; color: var(--soft); font-size: 13px; }
td:empty::after { content: "-"; color: var(--soft); }

.ages td, .ages thead th { text-align: center; padding: 0 4px; }
.ages tbody th, .ages tbody td { border: 0; padding-top: 12px; padding-bottom: 0; vertical-align: bottom; }
.ages thead th:first-child { text-align: left; }
.ages td { width: 12%; }
.blockers td { white-space: nowrap; }
.blockers td:nth-child(2), .blockers td:last-child { white-space: normal; }
.ages .bar { display: flex; height: 38px; align-items: flex-end; border-bottom: 1.5px solid var(--line); }
.ages .bar i { flex: 1; margin: 0 12%; min-height: 3px; background: var(--bar); border-radius: 3px 3px 0 0; }
.ages .none { color: var(--soft); opacity: 0.6; }
.ages td.total { font-weight: 600; }

details { border-top: 1px solid var(--line); padding: 10px 0; }
details:first-of-type { border-top: 0; padding-top: 0; }
details:last-of-type { padding-bottom: 0; }
details > table { margin-top: 10px; }
summary { cursor: pointer; font-weight: 600; }
summary small { margin-left: 6px; font-weight: 400; color: var(--soft); font-size: 13px; }
footer { color: var(--soft); font-size: 13px; }

@media (max-width: 720px) {
  main { padding: 18px 14px 32px; gap: 14px; }
  .card { padding: 16px; }
  .tiles { grid-template-columns: repeat(2, 1fr); gap: 14px; }
  .tiles .card { padding: 12px 16px; }
  .tiles strong { font-size: 21px; }
  .lane { grid-template-columns: 1fr; gap: 3px; }
  .timeline .lane > b { width: auto; font-size: 14px; }
  .events li { grid-template-columns: 116px 1fr; gap: 10px; }
  table.cards, .cards tbody, .cards tr, .cards th, .cards td { display: block; padding: 0; border: 0; }
  .cards thead { display: none; }
  .cards tr { padding: 12px 0; border-bottom: 1px solid var(--line); }
  .cards tr:first-child { padding-top: 0; }
  .cards tr:last-child { border-bottom: 0; padding-bottom: 0; }
  .cards tbody th { margin-bottom: 4px; }
  .cards td { display: grid; grid-template-columns: 104px 1fr; gap: 10px; text-align: left; padding: 2px 0; }
  .cards td::before { content: attr(data-label); color: var(--soft); font-size: 13px; line-height: 22px; }
  .cards td:empty { display: none; }
  .blockers td { white-space: normal; }
  .versions tr { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 6px 8px; }
  .versions tbody th { grid-column: 1; margin: 0; }
  .versions td { display: block; padding: 0; font-size: 14px; white-space: normal; }
  .versions td::before { display: block; line-height: 1.3; }
  .versions td:nth-child(2) { grid-column: 2 / 4; width: auto; }
  .versions td:nth-child(2)::before { content: none; }
  .ages td, .ages thead th { padding: 0 1px; font-size: 13px; }
  .ages thead th { font-size: 12px; }
  .ages tbody th { font-size: 13px; padding-right: 4px; }
}
"""

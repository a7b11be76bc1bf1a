"""The report's style sheet: one file, light and dark, readable on a phone."""

STYLE = """
:root{color-scheme:light dark;--back:#fbfaf7;--card:#fff;--ink:#1d2430;--soft:#5c6675;--rule:#e3e0d8;
--blue:#2563a8;--teal:#0f8a7e;--red:#c2362f;--amber:#a76a00;--violet:#6c4bb6;
--pass:#177a4b;--fail:#b3261e;--invalid:#8a5a00;
--kill:#c2362f22;--pause:#6c4bb622;--restart:#0f8a7e1c;--drain:#2563a81c}
@media(prefers-color-scheme:dark){:root{--back:#12161c;--card:#1a2028;--ink:#e7eaef;--soft:#9aa5b4;--rule:#2c3541;
--blue:#7fb2ee;--teal:#5fd0c2;--red:#ff8a80;--amber:#f0b85a;--violet:#b9a2f5;
--pass:#57c98d;--fail:#ff8a80;--invalid:#f0b85a;
--kill:#ff8a8026;--pause:#b9a2f526;--restart:#5fd0c21f;--drain:#7fb2ee1f}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1040px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:1.15rem;font-weight:600;margin:0 0 2px}
h2{font-size:1.05rem;margin:36px 0 10px}
p{margin:6px 0}
.soft{color:var(--soft)}
.verdict{border-left:8px solid;padding:6px 0 6px 18px;margin:22px 0}
.verdict b{font-size:2.6rem;line-height:1.1;letter-spacing:.02em;display:block}
.PASS{border-color:var(--pass)}.PASS b{color:var(--pass)}
.FAIL{border-color:var(--fail)}.FAIL b{color:var(--fail)}
.INVALID{border-color:var(--invalid)}.INVALID b{color:var(--invalid)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:18px 0}
.tile{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:10px 14px}
.tile b{display:block;font-size:1.5rem;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:.86rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;background:var(--card);border:1px solid var(--rule)}
th,td{text-align:left;padding:7px 10px;border-top:1px solid var(--rule);vertical-align:top;font-size:.92rem}
th{color:var(--soft);font-weight:600;border-top:0;white-space:nowrap}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th.n{text-align:right}
.ok{color:var(--pass);font-weight:600}.bad{color:var(--fail);font-weight:600}
tr.key td:first-child{border-left:4px solid var(--rule)}
tr.kill td:first-child{border-left-color:var(--red)}tr.pause td:first-child{border-left-color:var(--violet)}
tr.restart td:first-child{border-left-color:var(--teal)}tr.drain td:first-child{border-left-color:var(--blue)}
details summary{cursor:pointer;color:var(--soft);font-size:.86rem}
details li{font-size:.84rem}
details ul{margin:4px 0;padding-left:18px}
figure{margin:0 0 14px;background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px}
figcaption{font-weight:600;margin-bottom:4px}
.legend{font-weight:400;color:var(--soft);font-size:.88rem;margin-left:8px}
.legend i{display:inline-block;width:14px;height:3px;vertical-align:middle;margin:0 5px 0 10px}
svg{display:block;width:100%;height:auto;min-width:560px}
figure{overflow-x:auto}
.grid{stroke:var(--rule);stroke-width:1}
.tick,.mark{fill:var(--soft);font-size:11px}
.curve{fill:none;stroke-width:1.8;stroke-linejoin:round}
.shade.kill{fill:var(--kill)}.shade.pause{fill:var(--pause)}
.shade.restart{fill:var(--restart)}.shade.drain{fill:var(--drain)}
code{background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:8px 12px;display:block;
overflow-x:auto;font-size:.92rem}
"""

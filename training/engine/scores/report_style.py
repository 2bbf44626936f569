"""Hold the style sheet of reports: one column on a phone, more on a desk, light or dark as the reader's system is."""

STYLE = """
:root{--ink:#1b2330;--soft:#5a6675;--line:#d9dfe6;--page:#f6f7f9;--card:#fff;--made:#4c8bd6;--real:#1b2330;--good:#1f7a4d;
--bad:#b3261e;--unsure:#8a5a00;--c0:#2f6fbf;--c1:#c2541b;--c2:#5b7d1a}
@media (prefers-color-scheme:dark){:root{--ink:#e7ebf0;--soft:#a3afbd;--line:#36404c;--page:#12171d;--card:#1b222a;
--made:#3d74b5;--real:#f2f4f7;--good:#5fc08d;--bad:#ff8a80;--unsure:#e5b454;--c0:#7fb2f0;--c1:#f0a070;--c2:#b3d16a}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:16px;display:grid;gap:16px}
header,section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 20px;min-width:0}
header{border-left:8px solid var(--soft)}
header.good{border-left-color:var(--good)}header.bad{border-left-color:var(--bad)}header.unsure{border-left-color:var(--unsure)}
h1{font-size:1.7rem;line-height:1.2;margin:.1em 0 .2em}header.good h1{color:var(--good)}header.bad h1{color:var(--bad)}
header.unsure h1{color:var(--unsure)}
h2{font-size:1.1rem;margin:0 0 .4em}p{margin:.2em 0}.over,.small{color:var(--soft);font-size:.88rem}
ul{margin:.3em 0;padding-left:1.2em}li{margin:.25em 0;overflow-wrap:anywhere}
.tiles{display:grid;gap:16px;grid-template-columns:repeat(auto-fit,minmax(250px,1fr))}
.tile ul{list-style:none;padding:0;margin:.5em 0 0;font-size:.9rem}
.tile li{display:flex;justify-content:space-between;gap:8px;border-top:1px solid var(--line);padding:.25em 0;margin:0}
.big{font-size:2.2rem;font-weight:650;line-height:1.1}.good .big{color:var(--good)}.bad .big{color:var(--bad)}
.bar{position:relative;height:10px;border-radius:5px;background:var(--line);margin:.4em 0}
.bar span{display:block;height:100%;border-radius:5px;background:var(--good)}.bad .bar span{background:var(--bad)}
.bar i{position:absolute;top:-4px;bottom:-4px;width:2px;background:var(--ink)}
.charts{display:grid;gap:18px 24px;grid-template-columns:repeat(auto-fill,minmax(min(290px,100%),1fr));margin-top:.6em}
figure{margin:0;min-width:0}figcaption{font-weight:600;margin-bottom:.3em;overflow-wrap:anywhere}
figcaption .small{font-weight:400}
svg{display:block;width:100%;height:auto;max-width:420px;overflow:visible}.wide svg{max-width:760px}
svg text{font-size:12px;fill:var(--soft)}.made{fill:var(--made)}
polyline.real,rect.real{fill:none;stroke:var(--real);stroke-width:1.6}
.axis{stroke:var(--line)}.frame{fill:none;stroke:var(--line)}.cell{fill:var(--made)}
.curve{fill:none;stroke-width:2}.curve.c0{stroke:var(--c0)}.curve.c1{stroke:var(--c1)}.curve.c2{stroke:var(--c2)}
svg text.c0{fill:var(--c0)}svg text.c1{fill:var(--c1)}svg text.c2{fill:var(--c2)}svg text.name{font-weight:600;font-size:13px}
.key{display:inline-block;width:14px;height:12px;vertical-align:-1px;border:1.6px solid transparent}
.key.made{background:var(--made)}.key.real{border-color:var(--real)}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.45em .8em .45em 0;border-top:1px solid var(--line);vertical-align:top}
thead th{border-top:0;color:var(--soft);font-weight:600}td:nth-child(-n+4){white-space:nowrap}
dl{display:grid;grid-template-columns:minmax(140px,max-content) 1fr;gap:.3em 1.2em;margin:.3em 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
@media (max-width:700px){main{padding:10px}header,section{padding:14px}h1{font-size:1.4rem}
table,tbody,tr,td,th{display:block}thead{position:absolute;left:-9999px}
tr{border-top:1px solid var(--line);padding:.5em 0}th,td{border:0;padding:.1em 0}td:nth-child(-n+4){white-space:normal}
td:nth-child(3)::before{content:"95% interval: "}td:nth-child(4)::before{content:"Computed on "}
td:nth-child(3),td:nth-child(4){color:var(--soft);font-size:.88rem}td:nth-child(2){font-weight:650}
dl{grid-template-columns:1fr}dd{margin-bottom:.4em}}
"""

"""How the page is laid out: side by side on a screen, one above the other on a tablet held upright."""

STYLE = """
html { overflow: hidden; }
.simcrop-page { display: flex; flex-direction: column; height: 100vh; background: #121212; color: #eee; }
.simcrop-bar { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px; padding: 4px 10px; }
.simcrop-bar { background: #1e1e1e; }
.simcrop-bar h1 { font-size: 18px; }
.simcrop-name { max-width: 18em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; color: #bbb; }
.simcrop-choice { display: flex; }
.simcrop-choice .v-btn { min-width: 0; padding: 0 8px; text-transform: none; letter-spacing: 0; }
.simcrop-engine { font-size: 13px; color: #9ccc65; }
.simcrop-engine.crashed, .simcrop-engine.stopped { color: #ff8a65; }
.simcrop-engine.starting { color: #ffd54f; }
.simcrop-notice { margin-left: auto; font-size: 12px; color: #aaa; }
.simcrop-status { position: fixed; left: 0; bottom: 0; width: 400px; z-index: 10; background: #263238; }
.simcrop-busy { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 10px; padding: 6px 10px; }
.simcrop-busy-text { flex: 1; font-size: 13px; }
.simcrop-body { display: flex; flex: 1 1 auto; min-height: 0; }
.simcrop-side { flex: 0 0 400px; overflow-y: auto; padding-bottom: 60px; border-right: 1px solid #333; }
.simcrop-views { flex: 1 1 auto; min-width: 0; min-height: 0; display: flex; }
.simcrop-views .layout-grid-container, .simcrop-views .layout-grid-container > div { min-width: 0; min-height: 0; }
.simcrop-views .layout-grid-item { min-width: 0; min-height: 0; overflow: hidden; }
.simcrop-corner { position: absolute; top: 2px; left: 4px; padding-right: 6px; border-radius: 4px; }
.simcrop-corner { color: #ddd; font-size: 12px; background: rgba(0, 0, 0, 0.55); }
.simcrop-side-of { position: absolute; color: #fff; font-size: 13px; font-weight: 600; pointer-events: none; }
.simcrop-side-of { text-shadow: 0 0 3px #000, 0 0 3px #000; }
.simcrop-side-of.left { left: 6px; top: 50%; }
.simcrop-side-of.right { right: 6px; top: 50%; }
.simcrop-side-of.top { top: 4px; left: 50%; }
.simcrop-side-of.bottom { bottom: 22px; left: 50%; }
.simcrop-corner-right { position: absolute; top: 2px; right: 4px; }
.simcrop-slider { position: absolute; bottom: 4px; left: 10px; width: calc(100% - 20px); }
input[type=range] { accent-color: #80cbc4; height: 16px; }
.simcrop-labelled { display: flex; align-items: center; gap: 8px; font-size: 13px; }
.simcrop-labelled span:first-child { flex: 0 0 6em; }
.simcrop-labelled input { flex: 1; min-width: 0; }
.simcrop-table { width: 100%; font-size: 12.5px; border-collapse: collapse; }
.simcrop-table th { text-align: left; color: #aaa; font-weight: 500; padding: 2px 4px; }
.simcrop-table td { padding: 3px 4px; border-top: 1px solid #2c2c2c; vertical-align: top; }
.simcrop-table tr.chosen { background: #37474f; }
.simcrop-table tr.conflict td { color: #ffb74d; }
.simcrop-table tr.choosable { cursor: pointer; }
.simcrop-file { display: block; padding: 4px 6px; margin-bottom: 6px; border: 1px dashed #555; }
.simcrop-file { font-size: 12.5px; color: #bbb; }
.simcrop-file input { width: 100%; color: #eee; }
.simcrop-table tbody tr:focus-visible { outline: 2px solid #80cbc4; outline-offset: -2px; }
.simcrop-note { font-size: 12.5px; color: #bbb; margin: 4px 0; }
.simcrop-buttons { display: flex; flex-wrap: wrap; gap: 6px; margin: 6px 0; }
.simcrop-buttons .v-btn { text-transform: none; letter-spacing: 0; }
.simcrop-log { white-space: pre-wrap; font-size: 11px; color: #aaa; }
@media (max-width: 1000px) {
  .simcrop-body { flex-direction: column-reverse; }
  .simcrop-side { flex: 1 1 40%; border-right: none; border-top: 1px solid #333; }
  .simcrop-views { flex: 1 1 60%; }
  .simcrop-notice { margin-left: 0; }
  .simcrop-status { width: 100%; }
}
"""

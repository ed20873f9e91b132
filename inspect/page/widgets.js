// What the pages share. Whatever comes from an image reaches the page as text
// nodes and attribute values only.

const data = JSON.parse(document.getElementById('data').textContent);

// el makes an element. Props that begin with "on" are listeners; "style" is an
// object; others are attributes, left out if they are null or false.
function el(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props || {})) {
    if (v == null || v === false) continue;
    if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
    else if (k === 'style') for (const [p, value] of Object.entries(v)) e.style.setProperty(p, value);
    else e.setAttribute(k, v === true ? '' : v);
  }
  e.append(...children.flat(Infinity).filter(c => c != null && c !== false));
  return e;
}

// bytes shows a size as the program does: three digits and a binary unit.
function bytes(n) {
  if (n < 0) return '−' + bytes(-n);
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let u = 0;
  while (n >= 1024 && u < units.length - 1) { n /= 1024; u++; }
  if (u === 0) return n + ' B';
  return n.toFixed(n < 10 ? 2 : n < 100 ? 1 : 0) + ' ' + units[u];
}
const count = n => n.toLocaleString('en');
const plural = (n, what) => count(n) + ' ' + what + (n === 1 ? '' : 's');
function percent(part, whole) {
  if (!whole) return '0 %';
  const p = 100 * part / whole;
  return (p > 0 && p < .1 ? '< 0.1' : p.toFixed(p < 10 ? 1 : 0)) + ' %';
}

// themeSwitch follows the system until somebody chooses.
function themeSwitch() {
  const remember = (v) => { try { v === undefined ? 0 : localStorage.setItem('theme', v); return localStorage.getItem('theme'); } catch { return v; } };
  const buttons = ['auto', 'light', 'dark'].map(name => el('button', { type: 'button', onclick: () => choose(name) }, name[0].toUpperCase() + name.slice(1)));
  function choose(name, keep = true) {
    if (name === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    buttons.forEach(b => b.setAttribute('aria-pressed', b.textContent.toLowerCase() === name));
    if (keep) remember(name);
  }
  const wanted = new URLSearchParams(location.hash.slice(1)).get('theme') || remember() || 'auto';
  choose(['light', 'dark'].includes(wanted) ? wanted : 'auto', false);
  return el('div', { class: 'switch', role: 'group', 'aria-label': 'Colours' }, buttons);
}

function pageHeader(eyebrow, title) {
  return el('header', { class: 'top' },
    el('div', null, el('div', { class: 'eyebrow' }, eyebrow), el('h1', null, title)), themeSwitch());
}

function figures(list) {
  return el('dl', { class: 'figures' }, list.filter(Boolean).map(([name, value, more]) =>
    el('div', null, el('dt', null, name), el('dd', null, value, more ? el('small', null, ' ' + more) : null))));
}

function footer() {
  return el('footer', null, 'Made by diskwright. This page loads nothing and sends nothing.');
}

// share is a bar under a number.
function share(part, whole) {
  const bar = el('span', { class: 'share', 'aria-hidden': 'true' }, el('span'));
  bar.firstChild.style.width = whole ? Math.max(0, Math.min(100, 100 * part / whole)) + '%' : 0;
  return bar;
}

// tabs shows one of several panels: [{title, count, show: () => Element}]. Panels
// are made when they are first shown.
function tabs(label, list) {
  list = list.filter(Boolean);
  const panel = el('div', { role: 'tabpanel', id: 'panel', tabindex: -1 });
  const made = new Map();
  const buttons = list.map((t, i) => el('button', {
    type: 'button', role: 'tab', id: 'tab-' + i, 'aria-controls': 'panel', onclick: () => select(i),
    onkeydown: e => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
      if (!step) return;
      e.preventDefault();
      select((i + step + list.length) % list.length);
      buttons[(i + step + list.length) % list.length].focus();
    },
  }, t.title, t.count == null ? null : el('small', null, count(t.count))));
  function select(i) {
    buttons.forEach((b, k) => { b.setAttribute('aria-selected', k === i); b.tabIndex = k === i ? 0 : -1; });
    panel.setAttribute('aria-labelledby', 'tab-' + i);
    if (!made.has(i)) made.set(i, list[i].show());
    panel.replaceChildren(made.get(i));
  }
  select(Math.max(0, list.findIndex(t => t.id && t.id === new URLSearchParams(location.hash.slice(1)).get('tab'))));
  return el('section', null, el('div', { class: 'tabs', role: 'tablist', 'aria-label': label }, buttons), panel);
}

// table sorts and filters. A column is {title, value: row => what it sorts by,
// cell: row => what it shows, right, name, wide, descending: sorts so at first}. Text
// is what the filter looks at.
function table({ label, columns, rows, text, sort, tools }) {
  const step = 100;
  let shown = step, by = sort ?? 0, down = !!columns[by].descending, all = rows, visible = rows;
  const body = el('tbody');
  const status = el('span', { class: 'soft num', role: 'status' });
  const more = el('button', { type: 'button', class: 'more', onclick: () => { shown += 5 * step; draw(); } });
  const empty = el('p', { class: 'empty' }, 'Nothing here matches.');
  const input = el('input', { type: 'search', placeholder: 'Filter', 'aria-label': 'Filter ' + label, 'data-filter': true, oninput: () => { shown = step; filter(); } });
  const heads = columns.map((c, i) => el('th', { scope: 'col', class: c.right ? 'right' : null },
    el('button', { type: 'button', onclick: () => { down = by === i ? !down : !!c.descending; by = i; arrange(); } }, c.title)));
  function filter() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    visible = words.length ? all.filter(r => { const t = text(r).toLowerCase(); return words.every(w => t.includes(w)); }) : all.slice();
    arrange();
  }
  function arrange() {
    const value = columns[by].value;
    const order = down ? -1 : 1;
    visible.sort((a, b) => {
      const x = value(a), y = value(b);
      return order * (typeof x === 'string' ? (x < y ? -1 : x > y ? 1 : 0) : x - y);
    });
    heads.forEach((h, i) => i === by ? h.setAttribute('aria-sort', down ? 'descending' : 'ascending') : h.removeAttribute('aria-sort'));
    draw();
  }
  function draw() {
    body.replaceChildren(...visible.slice(0, shown).map(r => el('tr', null, columns.map(c =>
      el('td', { class: [c.right ? 'right' : '', c.name ? 'name' : '', c.wide ? 'wide' : '', c.tone ? c.tone(r) : ''].join(' ').trim() || null }, c.cell(r))))));
    status.textContent = visible.length === all.length ? plural(all.length, 'row') : count(visible.length) + ' of ' + plural(all.length, 'row');
    more.hidden = visible.length <= shown;
    more.textContent = 'Show more (' + count(visible.length - shown) + ' left)';
    empty.hidden = visible.length > 0;
  }
  filter();
  const root = el('div', null,
    el('div', { class: 'tools' }, input, tools, status),
    el('div', { class: 'scroll' }, el('table', { 'aria-label': label }, el('thead', null, el('tr', null, heads)), body), empty, more));
  return { root, setRows(list) { all = list; shown = step; filter(); } };
}

// "/" goes to the filter, as in many places.
document.addEventListener('keydown', e => {
  if (e.key !== '/' || e.ctrlKey || e.metaKey || e.altKey || e.target.matches('input')) return;
  const input = document.querySelector('[data-filter]');
  if (input) { e.preventDefault(); input.focus(); }
});

// The page of diskwright du.

const FREE = -2, META = -3, REST = -10; // and below, for each kind
// Hues of the kinds, in their order: as far apart as neighbours in a map may be.
const HUES = [262, 200, 28, 330, 150, 85, 110, 300, 350, 55, 230, 175, 265, 265, 265];
const CHROMA = [.085, .08, .09, .085, .08, .09, .085, .08, .085, .085, .05, .06, .018, .01, .01];

function node([name, size, kind, length, files, children], parent) {
  const n = { name, size, kind, length, files, parent };
  if (kind <= REST) {
    n.kind = REST - kind;
    n.rest = true;
    n.name = plural(files, 'smaller file');
  }
  if (parent.name === 'store' && parent.parent?.name === 'nix' && /^[0-9a-z]{32}-./.test(name)) n.title = name.slice(33);
  if (children) n.children = children.map(c => node(c, n));
  return n;
}

// area is a part of the disk that is no file.
const area = (name, size, kind, parent, children) => ({ name, size, kind, length: 0, files: 0, parent, children });

const titleOf = p => p.what === 'partition' ? 'Partition ' + p.partition : p.what === 'disk' ? 'Whole disk' : p.what[0].toUpperCase() + p.what.slice(1);

// systemOf returns the file system in a part of the disk.
const systemOf = p => p.what === 'partition' || p.what === 'disk' ? data.systems.find(s => s.partition === (p.partition || 0)) : undefined;

// disk makes the tree of all there is: parts, in them files, metadata and free.
function disk() {
  const top = area(data.name, 0, META, null, []);
  for (const p of data.parts) {
    const system = systemOf(p);
    const part = area(p.label || titleOf(p), p.size, META, top);
    if (system) {
      part.system = system;
      part.children = [];
      const files = node(system.tree, part);
      files.root = true;
      part.children.push(...files.children);
      part.children.forEach(c => c.parent = part);
      // Blocks of the root directory itself, and what only rounding knows.
      const areas = system.areas.slice();
      const own = files.size - files.children.reduce((sum, c) => sum + c.size, 0);
      if (own > 0) areas.push({ what: 'root directory', size: own });
      const meta = area('metadata', areas.reduce((sum, a) => sum + a.size, 0), META, part, []);
      meta.children = areas.map(a => area(a.what, a.size, META, meta));
      if (meta.size) part.children.push(meta);
      const known = part.children.reduce((sum, c) => sum + c.size, 0);
      if (p.size > known) part.children.push(area('free space', p.size - known, FREE, part));
      part.files = files.files;
      part.length = files.length;
    } else if (p.what === 'gap') {
      part.kind = FREE;
    }
    top.children.push(part);
    top.size += part.size;
    top.files += part.files;
  }
  return top;
}

const isDir = n => !!n.children;
const titleOfNode = n => n.title || n.name; // of store paths without the hash
function pathOf(n) {
  const names = [];
  for (; n; n = n.parent) names.unshift(n.name);
  return names;
}
// mainKind is the kind that most of a directory is.
function mainKind(n) {
  if (!isDir(n) || !n.children.length) return n.kind;
  if (n.main === undefined) {
    const sums = new Map();
    (function add(m) {
      if (isDir(m)) m.children.forEach(add);
      else if (m.kind >= 0) sums.set(m.kind, (sums.get(m.kind) || 0) + m.size);
    })(n);
    n.main = [...sums].sort((a, b) => b[1] - a[1])[0]?.[0] ?? n.kind;
  }
  return n.main;
}
function kindName(n) {
  if (n.rest) return 'summed up, mostly ' + data.kinds[n.kind];
  if (n.kind === FREE) return 'free';
  if (n.kind === META) return n.parent && !n.parent.parent ? 'partition' : 'metadata';
  return isDir(n) ? 'directory' : data.kinds[n.kind];
}
function paint(e, kind) {
  if (kind === FREE) e.classList.add('k-free');
  else if (kind === META) e.classList.add('k-rest');
  else {
    e.classList.add('fill');
    e.style.setProperty('--hue', HUES[kind]);
    e.style.setProperty('--c', CHROMA[kind]);
  }
  return e;
}
const swatch = kind => paint(el('span', { class: 'swatch', 'aria-hidden': 'true' }), kind);

// squarify lays sizes out in a rectangle, so that the rectangles of the parts are
// near to squares (Bruls, Huizing, van Wijk: Squarified Treemaps). Items are
// sorted, the largest first.
function squarify(items, x, y, w, h) {
  const total = items.reduce((sum, i) => sum + i.size, 0);
  const out = [];
  if (!(total > 0) || w <= 0 || h <= 0) return out;
  const scale = w * h / total;
  let row = [], rowArea = 0;
  const worst = (list, sum, side) => {
    const big = list[0].size * scale, small = list[list.length - 1].size * scale;
    return Math.max(side * side * big / (sum * sum), sum * sum / (side * side * small));
  };
  function lay() {
    const across = w >= h, side = across ? h : w, depth = rowArea / side;
    let at = across ? y : x;
    for (const item of row) {
      const long = item.size * scale / depth;
      out.push(across ? { item, x, y: at, w: depth, h: long } : { item, x: at, y, w: long, h: depth });
      at += long;
    }
    if (across) { x += depth; w -= depth; } else { y += depth; h -= depth; }
    row = []; rowArea = 0;
  }
  for (const item of items) {
    const a = item.size * scale, side = Math.min(w, h);
    if (row.length && worst([...row, item], rowArea + a, side) > worst(row, rowArea, side)) lay();
    row.push(item);
    rowArea += a;
  }
  if (row.length) lay();
  return out;
}

function treemap(top, start, onZoom) {
  const HEAD = 19, PAD = 3, DEEP = 5;
  let at = start, free = false, lit = null, cells = [], active = null;
  const map = el('div', { class: 'map', role: 'group' });
  const crumbs = el('ol', { class: 'crumbs' });
  const about = el('div', { class: 'about' });
  const shown = n => n.children.filter(c => c.size > 0 && (free || c.kind !== FREE)).sort((a, b) => b.size - a.size);
  const sizeOf = n => free || !isDir(n) ? n.size : n.kind === META || n === top ? shown(n).reduce((s, c) => s + sizeOf(c), 0) : n.size;

  function describe(n) {
    about.replaceChildren(...[el('span', { class: 'mono' }, pathOf(n).slice(1).join(' / ') || n.name),
      el('span', { class: 'num' }, bytes(n.size)),
      n !== at && el('span', { class: 'soft num' }, percent(n.size, at.size) + ' of ' + at.name),
      n.files > 1 && el('span', { class: 'soft num' }, plural(n.files, 'file')),
      el('span', { class: 'soft' }, kindName(n))].filter(Boolean));
  }

  // place makes the cells of what is in a directory, in the rectangle that is left
  // for it. All cells are siblings: buttons cannot nest.
  function place(layer, n, x, y, w, h, depth) {
    const items = shown(n).map(c => ({ node: c, size: sizeOf(c) })).filter(i => i.size > 0).sort((a, b) => b.size - a.size);
    for (const r of squarify(items, x, y, w, h)) {
      if (r.w < 2.5 || r.h < 2.5 || cells.length > 2500) continue;
      const c = r.item.node, dir = isDir(c) && c.children.length > 0;
      const frame = dir && depth < DEEP && r.w > 56 && r.h > HEAD + 24;
      const cell = el('button', {
        type: 'button', tabindex: -1, class: 'cell' + (dir ? ' dir' : '') + (frame ? ' frame d' + Math.min(depth, 2) : ''),
        'aria-label': `${titleOfNode(c)}, ${bytes(c.size)}, ${percent(c.size, at.size)} of ${at.name}, ${kindName(c)}` + (dir ? ', Enter zooms in' : ''),
        style: { left: r.x + .5 + 'px', top: r.y + .5 + 'px', width: r.w - 1 + 'px', height: r.h - 1 + 'px' },
      });
      cell.node = c;
      cell.box = r;
      if (!frame) paint(cell, mainKind(c));
      if (c.rest) cell.classList.add('rest');
      if (!frame && lit !== null && mainKind(c) === lit) cell.classList.add('lit');
      if (frame) cell.append(el('b', null, el('span', null, titleOfNode(c)), r.w > 130 ? el('em', null, bytes(c.size)) : null));
      else if (r.w > 34 && r.h > 16) {
        cell.append(el('b', null, titleOfNode(c)));
        if (r.h > 32 && r.w > 54) cell.append(el('i', null, bytes(c.size)));
      }
      if (r.h < 20 || r.w < 34) cell.style.padding = '0 3px';
      cells.push(cell);
      layer.append(cell);
      if (frame) place(layer, c, r.x + PAD, r.y + HEAD, r.w - 2 * PAD, r.h - HEAD - PAD, depth + 1);
    }
  }

  function draw(from) {
    const layer = el('div', { class: 'layer' + (lit !== null ? ' dim' : '') });
    cells = [];
    place(layer, at, 0, 0, map.clientWidth, map.clientHeight, 0);
    if (!cells.length) layer.append(el('p', { class: 'empty' }, 'There is nothing in it.'));
    map.replaceChildren(layer);
    map.setAttribute('aria-label', `Treemap of ${at.name}: arrows move, Enter zooms in, Escape goes up`);
    activate(cells.find(c => c.node === active?.node) || cells[0]);
    if (from && layer.animate && !matchMedia('(prefers-reduced-motion: reduce)').matches) {
      layer.animate([{ transform: from, opacity: .3 }, { transform: 'none', opacity: 1 }], { duration: 240, easing: 'cubic-bezier(.2,.7,.2,1)' });
    }
  }
  function activate(cell) {
    if (active) active.tabIndex = -1;
    active = cell;
    if (cell) cell.tabIndex = 0;
  }
  function zoom(n, keepFocus) {
    if (!n || !isDir(n) || n === at) return;
    const cell = cells.find(c => c.node === n), was = at;
    const inside = cell && `translate(${cell.box.x}px, ${cell.box.y}px) scale(${cell.box.w / map.clientWidth}, ${cell.box.h / map.clientHeight})`;
    at = n;
    crumb();
    draw(inside || 'scale(1.06)');
    if (!cell) { // went up: stay on what we were in
      let m = was;
      while (m && !cells.some(c => c.node === m)) m = m.parent;
      const back = cells.find(c => c.node === m);
      if (back) activate(back);
    } else {
      activate(cells[0]);
    }
    if (keepFocus && active) active.focus();
    describe(at);
    onZoom(at);
  }
  function crumb() {
    const way = [];
    for (let n = at; n; n = n.parent) way.unshift(n);
    crumbs.replaceChildren(...way.map(n => el('li', null, n === at
      ? el('span', { 'aria-current': 'page' }, n.name)
      : el('button', { type: 'button', onclick: () => zoom(n) }, n.name))));
  }
  // next finds the cell that lies nearest in a direction, of those at the same
  // level or deeper where the way leads into a frame.
  function next(from, dx, dy) {
    const mid = b => [b.x + b.w / 2, b.y + b.h / 2];
    const [fx, fy] = mid(from.box);
    let best = null, least = Infinity;
    for (const c of cells) {
      if (c === from || c.classList.contains('frame') || c.box.w < 6 || c.box.h < 6) continue;
      const b = c.box, f = from.box;
      const gap = dx > 0 ? b.x - f.x - f.w : dx < 0 ? f.x - b.x - b.w : dy > 0 ? b.y - f.y - f.h : f.y - b.y - b.h;
      if (gap < -4) continue;
      const [cx, cy] = mid(b);
      const off = dx ? Math.max(0, Math.max(b.y - fy, fy - b.y - b.h)) : Math.max(0, Math.max(b.x - fx, fx - b.x - b.w));
      const cost = Math.max(gap, 0) + 3 * off + (dx ? Math.abs(cy - fy) : Math.abs(cx - fx)) / 50;
      if (cost < least) { least = cost; best = c; }
    }
    return best;
  }
  const cellOf = e => e.target.closest?.('.cell');
  map.addEventListener('click', e => { const c = cellOf(e); if (c) { activate(c); zoom(isDir(c.node) ? c.node : c.node.parent, true); } });
  map.addEventListener('pointerover', e => { const c = cellOf(e); if (c) describe(c.node); });
  map.addEventListener('pointerleave', () => describe(at));
  map.addEventListener('focusin', e => { const c = cellOf(e); if (c) { activate(c); describe(c.node); } });
  map.addEventListener('keydown', e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[e.key];
    if (step && active) { next(active, ...step)?.focus(); }
    else if (e.key === 'Enter' || e.key === ' ') { if (active && isDir(active.node)) zoom(active.node, true); else if (active && active.node.parent !== at) zoom(active.node.parent, true); }
    else if (e.key === 'Escape' || e.key === 'Backspace') zoom(at.parent, true);
    else if (e.key === 'Home') cells[0]?.focus();
    else return;
    e.preventDefault();
  });
  const used = new Map();
  (function add(n) { if (isDir(n)) n.children.forEach(add); else if (n.kind >= 0) used.set(n.kind, (used.get(n.kind) || 0) + n.size); })(top);
  const legend = el('div', { class: 'legend', role: 'group', 'aria-label': 'Highlight a kind of files' },
    [...used].sort((a, b) => b[1] - a[1]).map(([kind]) => el('button', {
      type: 'button', 'aria-pressed': 'false', onclick: e => {
        lit = lit === kind ? null : kind;
        legend.querySelectorAll('button').forEach(b => b.setAttribute('aria-pressed', lit !== null && b === e.currentTarget));
        draw();
      },
    }, swatch(kind), data.kinds[kind])));
  const root = el('section', { class: 'card', 'aria-label': 'Treemap' },
    el('div', { class: 'mapbar' }, el('nav', { 'aria-label': 'Where the map is', style: { flex: '1' } }, crumbs),
      el('label', { class: 'check' }, el('input', { type: 'checkbox', onchange: e => { free = e.target.checked; draw(); } }), 'Free space'),
      el('span', { class: 'hints' }, el('kbd', null, '←↑↓→'), ' move  ', el('kbd', null, 'Enter'), ' zoom in  ', el('kbd', null, 'Esc'), ' up')),
    map, about, legend);
  let width = 0;
  new ResizeObserver(() => { if (map.clientWidth !== width) { width = map.clientWidth; draw(); } }).observe(map);
  crumb();
  describe(at);
  return { root, zoom, get at() { return at; } };
}

// diskBar shows the disk in the order of its parts, and each file system by kinds.
function diskBar() {
  const total = data.parts.reduce((sum, p) => sum + p.size, 0);
  const bar = el('div', { class: 'bar', 'aria-hidden': 'true' }), sums = new Map();
  function add(where, what, kind, size) {
    if (size <= 0) return;
    const s = paint(el('span', { title: `${where}, ${what}: ${bytes(size)}` }), kind);
    s.style.flex = `${size / total} 1 0px`;
    bar.append(s);
    sums.set(what, [kind, (sums.get(what)?.[1] || 0) + size]);
  }
  for (const p of data.parts) {
    const s = systemOf(p);
    const name = titleOf(p) + (p.label ? ` (${p.label})` : '');
    if (!s) {
      add(name, p.what === 'gap' ? 'unpartitioned' : p.what === 'partition' ? 'not read' : p.what, p.what === 'gap' ? FREE : META, p.size);
      continue;
    }
    const large = s.kinds.filter(k => k.size > total / 200).slice(0, 8);
    for (const k of large) add(name, k.kind, data.kinds.indexOf(k.kind), k.size);
    add(name, large.length ? 'other kinds' : 'files', 12, s.files - large.reduce((sum, k) => sum + k.size, 0));
    add(name, 'metadata', META, s.metadata);
    add(name, 'free', FREE, p.size - s.files - s.metadata);
  }
  const keys = [...sums].filter(([, [, size]]) => size > total / 2000).sort((a, b) => (a[1][0] < 0) - (b[1][0] < 0) || b[1][1] - a[1][1]);
  return el('section', { class: 'card', 'aria-label': 'The disk' }, bar, el('ul', { class: 'keys' }, keys.map(([name, [kind, size]]) =>
    el('li', null, swatch(kind), name, el('span', { class: 'soft num' }, `${bytes(size)} · ${percent(size, total)}`)))));
}

const top_ = disk();
const sum = f => data.systems.reduce((total, s) => total + f(s), 0);
const parts = top_.children.filter(isDir);
const start = parts.reduce((most, p) => p.files > (most?.files || 0) ? p : most, null) || top_; // the partition with most files
const main = el('main');
document.body.append(main);

const map = treemap(top_, start, n => files?.setRows(listOf(n)));
function listOf(n) {
  const list = [];
  (function add(m) { for (const c of m.children) { if (c.size > 0) list.push(c); if (isDir(c)) add(c); } })(n);
  return list;
}
const reveal = n => { map.zoom(isDir(n) ? n : n.parent); map.root.scrollIntoView({ behavior: 'smooth', block: 'start' }); };
const relative = n => { const names = []; for (let m = n; m && m !== map.at; m = m.parent) names.unshift(m.name); return names.join('/'); };
const sizeColumn = (whole, title = 'Size', value = r => r.size) => ({ title, right: true, descending: true, value, cell: r => [bytes(value(r)), share(value(r), whole())] });

let files = null;
function filesTab() {
  files = table({
    label: 'files and directories', rows: listOf(map.at), text: relative, sort: 1,
    columns: [
      { title: 'Path', name: true, value: relative, cell: n => [swatch(mainKind(n)), isDir(n) ? el('button', { type: 'button', class: 'link mono', onclick: () => reveal(n) }, relative(n) + '/') : el('span', { class: 'mono' }, relative(n))] },
      sizeColumn(() => map.at.size),
      { title: 'Content', right: true, descending: true, value: n => n.length, cell: n => n.length ? bytes(n.length) : '' },
      { title: 'Files', right: true, descending: true, value: n => n.files, cell: n => n.files ? count(n.files) : '' },
      { title: 'Kind', value: kindName, cell: n => el('span', { class: 'soft' }, kindName(n)) },
    ],
  });
  return el('div', null, el('p', { class: 'lead' }, 'What is in the part of the map that is shown. Size is what the blocks take, content what the files hold.'), files.root);
}

function kindsTab() {
  const sums = new Map();
  for (const s of data.systems) for (const k of s.kinds) {
    const t = sums.get(k.kind) || { kind: k.kind, size: 0, length: 0, files: 0 };
    t.size += k.size; t.length += k.length; t.files += k.files;
    sums.set(k.kind, t);
  }
  const total = sum(s => s.files);
  return el('div', null, el('p', { class: 'lead' }, 'What files are for, told by their names, places and permissions.'), table({
    label: 'kinds', rows: [...sums.values()], text: k => k.kind, sort: 1, columns: [
      { title: 'Kind', name: true, value: k => k.kind, cell: k => [swatch(data.kinds.indexOf(k.kind)), k.kind] },
      sizeColumn(() => total),
      { title: 'Share', right: true, descending: true, value: k => k.size, cell: k => percent(k.size, total) },
      { title: 'Content', right: true, descending: true, value: k => k.length, cell: k => bytes(k.length) },
      { title: 'Files', right: true, descending: true, value: k => k.files, cell: k => count(k.files) },
    ],
  }).root);
}

function storeTab(s) {
  const store = s.store, most = store.paths.reduce((m, p) => Math.max(m, p.closureSize || 0), 0);
  const place = parts.find(p => p.system === s);
  const dir = ['nix', 'store'].reduce((n, name) => n?.children?.find(c => c.name === name), place);
  const name = p => p.path.slice('/nix/store/'.length + 33);
  return el('div', null,
    el('p', { class: 'lead' }, store.registered
      ? 'A closure is a path with all that it needs, directly or not. Closures share paths, so that their sizes do not add up.'
      : 'There is no database of the store that could be read, so that nobody knows which path needs which.',
      s.storePaths > store.paths.length ? ` These are the largest of ${count(s.storePaths)} paths.` : ''),
    table({
      label: 'store paths', rows: store.paths, text: p => p.path, sort: 1, columns: [
        { title: 'Store path', name: true, value: name, cell: p => {
          const n = dir?.children?.find(c => c.name === p.path.slice('/nix/store/'.length));
          return [n && isDir(n) ? el('button', { type: 'button', class: 'link mono', title: p.path, onclick: () => reveal(n) }, name(p)) : el('span', { class: 'mono', title: p.path }, name(p)),
            ' ', el('span', { class: 'soft mono' }, p.path.slice('/nix/store/'.length).slice(0, 7) + '…'),
            store.registered && !p.valid ? [' ', el('span', { class: 'tag minus' }, 'not registered')] : null];
        } },
        sizeColumn(() => store.size),
        store.registered && sizeColumn(() => most, 'Closure', p => p.closureSize || 0),
        store.registered && { title: 'Paths in it', right: true, descending: true, value: p => p.closurePaths || 0, cell: p => p.closurePaths ? count(p.closurePaths) : '' },
        store.registered && { title: 'Needed by', right: true, descending: true, value: p => p.referrers || 0, cell: p => p.referrers ? count(p.referrers) : p.valid ? el('span', { class: 'soft' }, 'none') : '' },
        { title: 'Files', right: true, descending: true, value: p => p.files, cell: p => count(p.files) },
      ].filter(Boolean),
    }).root);
}

function duplicatesTab(s) {
  const d = s.duplicates;
  return el('div', null,
    el('p', { class: 'lead' }, `Of equal files below ${d.below} one would do: `, el('strong', null, bytes(d.size)), ` in ${plural(d.files, 'file')} could be saved by hard links`,
      s.store ? ', which is what optimiseStore does.' : '.'),
    table({
      label: 'equal files', rows: d.groups, text: g => g.names.map(n => n.path).join(' '), sort: 1, columns: [
        { title: 'Files', name: true, value: g => g.names[0].path, cell: g => [g.names.slice(0, 3).map(n => el('div', { class: 'mono' }, n.path)),
          g.names.length > 3 ? el('details', null, el('summary', null, `${count(g.files - 2)} more`), g.names.slice(3).map(n => el('div', { class: 'mono' }, n.path)), g.files + 1 > g.names.length ? el('div', { class: 'soft' }, `and ${count(g.files + 1 - g.names.length)} that are not listed`) : null) : null] },
        sizeColumn(() => d.size, 'Saves'),
        { title: 'Each', right: true, descending: true, value: g => g.length, cell: g => bytes(g.length) },
        { title: 'Copies', right: true, descending: true, value: g => g.files + 1, cell: g => count(g.files + 1) },
      ],
    }).root);
}

function partsTab() {
  return table({
    label: 'parts of the disk', rows: data.parts, text: p => titleOf(p) + ' ' + (p.label || '') + ' ' + (p.type || ''), sort: 1, columns: [
      { title: 'Part', name: true, value: titleOf, cell: p => [titleOf(p), p.label ? el('span', { class: 'mono soft' }, '  ' + p.label) : null] },
      { title: 'Offset', right: true, value: p => p.offset, cell: p => bytes(p.offset) },
      sizeColumn(() => data.diskSize),
      { title: 'Type', value: p => p.type || '', cell: p => p.type || '' },
      { title: 'Used', right: true, descending: true, value: p => p.used || 0, cell: p => p.used ? bytes(p.used) : '' },
      { title: 'Free', right: true, descending: true, value: p => p.free || 0, cell: p => p.free ? bytes(p.free) : '' },
    ],
  }).root;
}

const label = (s, text) => data.systems.length > 1 && data.systems.filter(o => o.store).length > 1 ? `${text} (${s.partition})` : text;
const saving = sum(s => s.duplicates?.size || 0);
main.append(...[
  pageHeader('Disk usage', data.name),
  figures([
    ['Disk', bytes(data.diskSize), data.fileSize && data.fileSize !== data.diskSize ? `${bytes(data.fileSize)} as ${data.format}` : data.format],
    ['Files', bytes(sum(s => s.files)), plural(sum(s => s.tree[4]), 'file')],
    ['Metadata', bytes(sum(s => s.metadata)), percent(sum(s => s.metadata), data.diskSize)],
    ['Free', bytes(sum(s => s.free)), percent(sum(s => s.free), data.diskSize)],
    ...data.systems.filter(s => s.store).map(s => ['Store', bytes(s.store.size), plural(s.storePaths, 'path')]),
    data.systems.some(s => s.duplicates) && ['Equal files', bytes(saving), 'to save'],
  ]),
  ...data.systems.flatMap(s => (s.problems || []).map(p => el('p', { class: 'problem' }, p))),
  diskBar(), map.root,
  tabs('Tables', [
    { id: 'files', title: 'Files', show: filesTab },
    ...data.systems.filter(s => s.store).map(s => ({ id: 'store', title: label(s, 'Store paths'), count: s.storePaths, show: () => storeTab(s) })),
    { id: 'kinds', title: 'Kinds', show: kindsTab },
    ...data.systems.filter(s => s.duplicates?.groups.length).map(s => ({ id: 'duplicates', title: data.systems.filter(o => o.duplicates?.groups.length).length > 1 ? `Equal files (${s.label || s.partition})` : 'Equal files', count: s.groups, show: () => duplicatesTab(s) })),
    { id: 'parts', title: 'Disk', count: data.parts.length, show: partsTab },
  ]),
  footer(),
]);

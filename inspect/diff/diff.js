// The page of diskwright diff.

const main = el('main');
document.body.append(main);

const titleOf = p => p.what === 'partition' ? 'Partition ' + p.partition : p.what === 'disk' ? 'Whole disk' : p.what[0].toUpperCase() + p.what.slice(1);
const HUE = { a: 55, b: 230 };

// side shows an image: both disks are drawn to one scale.
function side(letter, s) {
  const most = Math.max(data.a.diskSize, data.b.diskSize);
  const bar = el('div', { class: 'bar', 'aria-hidden': 'true', style: { width: 100 * s.diskSize / most + '%' } });
  const add = (size, cls, title) => {
    if (size <= 0) return;
    const part = el('span', { class: cls, title: `${title}: ${bytes(size)}`, style: { flex: `${size / s.diskSize} 1 0px`, '--hue': HUE[letter] } });
    bar.append(part);
  };
  for (const p of s.parts) {
    const name = titleOf(p) + (p.label ? ` (${p.label})` : '');
    if (p.used) { add(p.used, 'fill', name + ', used'); add(p.size - p.used, 'k-free', name + ', free'); }
    else add(p.size, p.what === 'gap' ? 'k-free' : 'k-rest', name);
  }
  return el('section', { class: 'card', 'aria-label': 'Image ' + letter.toUpperCase() },
    el('h2', null, el('span', { class: 'letter', 'aria-hidden': 'true' }, letter.toUpperCase()), s.name),
    bar,
    el('ul', { class: 'keys' }, s.parts.filter(p => p.what === 'partition' || p.what === 'disk').map(p => el('li', null,
      el('span', { class: 'swatch fill', style: { '--hue': HUE[letter] }, 'aria-hidden': 'true' }), titleOf(p), p.label ? el('span', { class: 'mono' }, p.label) : null,
      el('span', { class: 'soft num' }, bytes(p.size) + (p.used ? `, ${bytes(p.used)} used` : ''))))),
    el('p', { class: 'soft num', style: { 'margin-top': '10px', 'font-size': '13px' } }, `${bytes(s.diskSize)}, ${s.format}` + (s.fileSize !== s.diskSize ? ` of ${bytes(s.fileSize)}` : '')));
}

const tone = { added: 'plus', removed: 'minus', upgraded: 'change', downgraded: 'change', rebuilt: '', changed: 'change' };
const tag = word => el('span', { class: 'tag ' + (tone[word] || '') }, word);
const signed = n => n === 0 ? '±0' : (n > 0 ? '+' : '−') + bytes(Math.abs(n));

function packagesTab() {
  const most = data.packages.reduce((m, p) => Math.max(m, p.sizeA, p.sizeB), 0);
  const versions = list => (list || []).filter(Boolean).join(', ');
  const sized = (title, f) => ({ title, right: true, descending: true, value: f, cell: p => f(p) ? [bytes(f(p)), share(f(p), most)] : '' });
  const left = data.packages.reduce((sum, p) => sum + p.sizeA, 0), right = data.packages.reduce((sum, p) => sum + p.sizeB, 0);
  return el('div', null,
    el('p', { class: 'lead' }, `Store paths that only one of the images has, by the names of packages: ${bytes(left)} in A, ${bytes(right)} in B.`),
    table({
      label: 'packages', rows: data.packages, sort: 6, text: p => `${p.name} ${p.change} ${versions(p.versionsA)} ${versions(p.versionsB)}`,
      columns: [
        { title: 'Package', name: true, value: p => p.name, cell: p => el('details', null, el('summary', null, el('span', { class: 'mono' }, p.name)),
          (p.pathsA || []).map(x => el('div', { class: 'mono soft' }, '− ' + x)), (p.pathsB || []).map(x => el('div', { class: 'mono soft' }, '+ ' + x))) },
        { title: 'Change', value: p => p.change, cell: p => tag(p.change) },
        { title: 'Version in A', value: p => versions(p.versionsA), cell: p => el('span', { class: 'mono version' }, versions(p.versionsA)) },
        { title: 'Version in B', value: p => versions(p.versionsB), cell: p => el('span', { class: 'mono version' }, versions(p.versionsB)) },
        sized('Size in A', p => p.sizeA), sized('Size in B', p => p.sizeB),
        { title: 'Change of size', right: true, descending: true, value: p => Math.abs(p.sizeB - p.sizeA), cell: p => signed(p.sizeB - p.sizeA), tone: p => p.sizeB > p.sizeA ? 'minus' : p.sizeB < p.sizeA ? 'plus' : '' },
      ],
    }).root);
}

const what = f => f.only === 'a' ? 'removed' : f.only === 'b' ? 'added' : 'changed';
function change(c) {
  const values = c.a || c.b ? [' ', el('span', { class: 'mono' }, c.a || 'nothing', ' → ', c.b || 'nothing')] : null;
  return el('div', null, el('span', { class: 'tag change' }, c.kind), values,
    c.offset != null ? el('span', { class: 'soft num' }, ` first at byte ${count(c.offset)}`) : null,
    c.text ? el('details', null, el('summary', null, 'lines'), el('pre', null, c.text)) : null);
}
// Where files lie matters to who wants the same bytes, and to nobody else.
const placeOnly = f => !f.only && f.changes.every(c => c.kind === 'layout' || c.kind === 'inode');

function filesTab() {
  const several = new Set(data.files.map(f => f.partition)).size > 1;
  const kinds = [...new Set(data.files.flatMap(f => f.only ? [what(f)] : f.changes.map(c => c.kind)))].sort();
  const rest = data.files.filter(f => !placeOnly(f));
  const some = rest.length > 0 && rest.length < data.files.length;
  const rows = choice => choice === '' ? data.files : choice === '-' ? rest : data.files.filter(f => what(f) === choice || (f.changes || []).some(c => c.kind === choice));
  const choice = el('select', { 'aria-label': 'Which differences', onchange: () => t.setRows(rows(choice.value)) },
    some && el('option', { value: '-' }, 'All but layout and inode'), el('option', { value: '' }, 'All differences'), kinds.map(k => el('option', { value: k }, k)));
  const t = table({
    label: 'files', rows: rows(some ? '-' : ''), sort: 0, tools: choice,
    text: f => `${f.path} ${what(f)} ${f.type} ${(f.changes || []).map(c => `${c.kind} ${c.a || ''} ${c.b || ''}`).join(' ')}`,
    columns: [
      { title: 'Path', name: true, value: f => f.path, cell: f => el('span', { class: 'mono' }, f.path) },
      several && { title: 'Partition', right: true, value: f => f.partition, cell: f => count(f.partition) },
      { title: 'What', wide: true, value: what, cell: f => f.only ? tag(what(f)) : f.changes.map(change) },
      { title: 'Type', value: f => f.type, cell: f => el('span', { class: 'soft' }, f.type) },
      { title: 'Size', right: true, descending: true, value: f => f.type === 'file' ? f.size : -1, cell: f => f.type === 'file' ? bytes(f.size) : '' },
    ].filter(Boolean),
  });
  return el('div', null,
    data.left ? el('p', { class: 'lead' }, `These are the largest; ${count(data.left)} more were left out.`) : null,
    data.packages.length ? el('p', { class: 'lead' }, 'Files of store paths that only one of the images has are summed up as packages.') : null,
    t.root);
}

function fieldsTab() {
  const value = v => v === '' ? el('span', { class: 'soft' }, 'nothing') : el('span', { class: 'mono' }, v);
  return table({
    label: 'fields', rows: data.fields, sort: 0, text: f => `${f.where} ${f.name} ${f.a} ${f.b}`, columns: [
      { title: 'Where', value: f => f.where, cell: f => f.where },
      { title: 'Field', value: f => f.name, cell: f => el('span', { class: 'mono' }, f.name) },
      { title: 'A', value: f => f.a, cell: f => value(f.a) },
      { title: 'B', value: f => f.b, cell: f => value(f.b) },
    ],
  }).root;
}

function bytesTab() {
  return el('div', null, el('p', { class: 'lead' }, 'Blocks that differ without any field or file that does.'), table({
    label: 'bytes', rows: data.bytes, sort: 0, text: b => `${b.where} ${b.what || ''}`, columns: [
      { title: 'Where', value: b => b.where, cell: b => b.where },
      { title: 'What lies there', name: true, value: b => b.what || '', cell: b => b.what || '' },
      { title: 'First at byte', right: true, value: b => b.offset, cell: b => count(b.offset) },
      { title: 'Blocks', right: true, descending: true, value: b => b.count, cell: b => count(b.count) },
      { title: 'Bytes', right: true, descending: true, value: b => b.count * b.size, cell: b => bytes(b.count * b.size) },
    ],
  }).root);
}

// places shows what only one of the images has: of A to the left, of B to the right.
function places() {
  const most = data.places.reduce((m, p) => Math.max(m, p.a, p.b), 0);
  const bar = (side, n) => el('div', { class: 'wing ' + side }, el('span', { class: 'num soft' }, n ? bytes(n) : ''),
    el('div', { class: 'fill', style: { '--hue': HUE[side], width: most ? 100 * n / most + '%' : 0 } }));
  return el('section', { class: 'card', 'aria-label': 'Where the images differ' },
    el('div', { class: 'wings' },
      el('div', { class: 'eyebrow', style: { 'text-align': 'right' } }, 'Only in A'), el('div'), el('div', { class: 'eyebrow' }, 'Only in B'),
      data.places.map(p => [bar('a', p.a), el('div', { class: 'mono' }, p.path), bar('b', p.b)])));
}

const same = !(data.fields.length + data.packages.length + data.files.length + data.bytes.length);
main.append(...[
  pageHeader('Two images', same ? 'There is no difference' : `${data.a.name} → ${data.b.name}`),
  el('div', { class: 'sides' }, side('a', data.a), side('b', data.b)),
  !same && figures([
    ['Only in A', count(data.removed), data.removed === 1 ? 'file' : 'files'],
    ['Only in B', count(data.added), data.added === 1 ? 'file' : 'files'],
    ['In both, but changed', count(data.changed), data.changed === 1 ? 'file' : 'files'],
    data.packages.length && ['Packages', count(data.packages.length), signed(data.packages.reduce((sum, p) => sum + p.sizeB - p.sizeA, 0))],
    ['Fields', count(data.fields.length)],
    data.bytes.length && ['Elsewhere', count(data.bytes.reduce((sum, b) => sum + b.count, 0)), 'blocks'],
  ]),
  data.places.length && places(),
  !same && tabs('Differences', [
    data.packages.length && { id: 'packages', title: 'Packages', count: data.packages.length, show: packagesTab },
    data.files.length && { id: 'files', title: 'Files', count: data.files.length + data.left, show: filesTab },
    data.fields.length && { id: 'fields', title: 'Fields', count: data.fields.length, show: fieldsTab },
    data.bytes.length && { id: 'bytes', title: 'Other bytes', count: data.bytes.length, show: bytesTab },
  ]),
  footer(),
].filter(Boolean));

package du

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/inspect/page"
	"diskwright/test/browser"

	"github.com/google/go-cmp/cmp"
)

// selfTest uses a page as somebody with a keyboard does.
const selfTest = `
setTimeout(() => {
  const press = key => (document.activeElement || document.body).dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
  const where = () => document.querySelector('.crumbs [aria-current]').textContent;
  const rows = () => [...document.querySelectorAll('tbody tr')].map(r => r.querySelector('td').textContent);
  const r = { start: where(), title: document.title };
  const cells = [...document.querySelectorAll('.cell')];
  r.stops = cells.filter(c => c.tabIndex === 0).length;
  r.labelled = cells.every(c => c.getAttribute('aria-label'));
  r.overflow = cells.filter(c => c.node.parent.parent && c.box.x < -1 || c.box.x + c.box.w > c.parentNode.clientWidth + 1).length;
  const usr = cells.find(c => c.node.name === 'usr');
  usr.focus();
  press('Enter');
  r.enter = where();
  r.focused = document.activeElement.classList.contains('cell');
  r.rowsBelow = rows().every(p => !p.startsWith('nix'));
  press('ArrowRight'); press('ArrowDown');
  r.moved = document.activeElement.classList.contains('cell');
  press('Escape');
  r.escape = where();
  r.back = document.activeElement.node.name;
  press('Backspace');
  r.backspace = where();
  press('/');
  r.filter = document.activeElement.type;
  document.activeElement.value = 'twin part-1';
  document.activeElement.dispatchEvent(new Event('input'));
  r.found = rows();
  document.activeElement.value = '';
  document.activeElement.dispatchEvent(new Event('input'));
  const head = i => document.querySelectorAll('thead th')[i];
  head(0).firstChild.click();
  r.sort = head(0).getAttribute('aria-sort');
  const names = rows();
  r.sorted = names.every((n, i) => !i || names[i - 1].replace(/\/$/, '') <= n.replace(/\/$/, ''));
  r.hostile = names.filter(n => /bad|<img|<!--/.test(n)).map(n => n.replace(/^.*\//, ''));
  r.elements = document.querySelectorAll('img, iframe, object, link, script[src]').length;
  r.tabs = [...document.querySelectorAll('[role=tab]')].map(b => { b.click(); return b.firstChild.textContent + ':' + (rows().length > 0); });
  document.querySelector('#tab-1').click();
  document.querySelector('tbody button.link').click();
  r.revealed = where();
  const lit = [...document.querySelectorAll('.legend button')].find(b => b.textContent === 'programs');
  lit.click();
  r.lit = document.querySelectorAll('.dim .cell.lit').length;
  document.body.append(el('pre', { id: 'result' }, JSON.stringify(r)));
}, 500);
`

func writePage(t *testing.T, p page.Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := page.Write(&b, p); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "du.html")
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPage opens a page in Chromium and uses it.
func TestPage(t *testing.T) {
	p := measure(t, ext4Image(t, sample(t)), Options{}).page()
	path := writePage(t, p)
	for name, dark := range map[string]bool{"light": false, "dark": true} {
		colours, corner := browser.Colours(browser.Screenshot(t, path, "theme="+name, "du-"+name+".png"))
		if colours < 100 || dark != (corner < 0.5) {
			t.Errorf("%s: %d colours, and a corner of %.2f", name, colours, corner)
		}
	}
	p.Script += selfTest
	type result struct {
		Start, Title, Enter, Escape, Back, Backspace, Filter, Sort, Revealed string
		Stops, Elements, Overflow, Lit                                       int
		Labelled, Focused, RowsBelow, Moved, Sorted                          bool
		Found, Hostile, Tabs                                                 []string
	}
	var got result
	browser.Result(t, writePage(t, p), &got)
	want := result{
		Start: "root", Title: "disk.img · disk usage", Enter: "usr", Escape: "root", Back: "usr", Backspace: "disk.img", Filter: "search", Sort: "ascending", Revealed: storeHash + "0-part-0", Lit: 1,
		Stops: 1, Labelled: true, Focused: true, RowsBelow: true, Moved: true, Sorted: true,
		Found:   []string{"root/nix/store/" + storeHash + "1-part-1/share/twin"},
		Hostile: []string{`<!--<script>\u202eexe`, `<img src=x onerror="document.title='hacked'">`, `bad\xffname`},
		Tabs:    []string{"Files:true", "Store paths:true", "Kinds:true", "Equal files:true", "Disk:true"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A page of many files has about as many nodes as it may have, and all of the
// space.
func TestPageIsBounded(t *testing.T) {
	root := &Node{Kind: Directories}
	for i := range 300 {
		dir := &Node{Name: fmt.Sprint("dir", i), Kind: Directories, Files: 1}
		for k := range 1000 {
			f := &Node{Name: strings.Repeat("f", 50) + fmt.Sprint(k), Kind: Kinds[k%12], Size: int64(i*k) * 7, Files: 1}
			dir.Children = append(dir.Children, f)
			dir.Size += f.Size
			dir.Files++
		}
		root.Children = append(root.Children, dir)
		root.Size += dir.Size
		root.Files += dir.Files
	}
	u := &Usage{FileSystems: []FileSystem{{Root: root}}}
	var b bytes.Buffer
	if err := u.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 4<<20 {
		t.Errorf("the page has %d bytes", b.Len())
	}
	kinds := map[Kind]int{}
	nodes, size, files := 0, int64(0), int64(0)
	var count func(n pageNode)
	count = func(n pageNode) {
		nodes++
		if len(n) < 6 {
			size += n[1].(int64)
			files += n[4].(int64)
			return
		}
		for _, child := range n[5].([]pageNode) {
			count(child)
		}
	}
	count(pageNodeOf(root, kinds, threshold(u.FileSystems), maxPageDepth))
	if nodes > maxNodes+300 || nodes < maxNodes-1000 || size != root.Size || files > root.Files || files < root.Files-1301 {
		t.Errorf("%d nodes of %d bytes and %d files; there are %d and %d", nodes, size, files, root.Size, root.Files)
	}
}

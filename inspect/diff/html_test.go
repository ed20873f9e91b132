package diff

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"diskwright/inspect"
	"diskwright/inspect/page"
	"diskwright/test/browser"
	"diskwright/test/oracle"

	"github.com/google/go-cmp/cmp"
)

const selfTest = `
setTimeout(() => {
  const rows = () => [...document.querySelectorAll('tbody tr')].map(r => [...r.cells].map(c => c.textContent).join('|'));
  const r = { heading: document.querySelector('h1').textContent, sides: [...document.querySelectorAll('.sides h2')].map(h => h.textContent), rows: {} };
  for (const b of document.querySelectorAll('[role=tab]')) { b.click(); r.rows[b.firstChild.textContent] = rows(); }
  r.elements = document.querySelectorAll('img, iframe, object, link, script[src]').length;
  document.body.append(el('pre', { id: 'result' }, JSON.stringify(r)));
}, 500);
`

// TestPage compares two images, and opens the page in Chromium.
func TestPage(t *testing.T) {
	const hash = "c6v1fxgmkdrbnnwrv2pb3b8n9ja3q0b"
	open := func(name string, files map[string]string) *inspect.Image {
		t.Helper()
		dir := t.TempDir()
		for file, text := range files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 8<<20); err != nil {
			t.Fatal(err)
		}
		oracle.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-d", dir, path)
		img, err := inspect.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { img.Close() })
		return img
	}
	a := open("a.img", map[string]string{
		"nix/store/0" + hash + "-tool-1.9/bin/tool": "old tool", "nix/store/1" + hash + "-same-1": "same", "etc/text": "one\ntwo\n",
		"gone\xff": "x",
	})
	b := open("b.img", map[string]string{
		"nix/store/2" + hash + "-tool-1.10/bin/tool": "newer tool", "nix/store/1" + hash + "-same-1": "same", "etc/text": "one\n<b>three</b>\n",
		"<img src=x onerror=\"document.title='hacked'\">": "y",
	})
	r, err := Images(context.Background(), a, b, Options{ContentOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	p := r.page(a, b)
	write := func() string {
		var text bytes.Buffer
		if err := page.Write(&text, p); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "diff.html")
		if err := os.WriteFile(path, text.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, dark := range map[string]bool{"light": false, "dark": true} {
		colours, corner := browser.Colours(browser.Screenshot(t, write(), "theme="+name, "diff-"+name+".png"))
		if colours < 50 || dark != (corner < 0.5) {
			t.Errorf("%s: %d colours, and a corner of %.2f", name, colours, corner)
		}
	}
	p.Script += selfTest
	type result struct {
		Heading  string
		Sides    []string
		Elements int
		Rows     map[string][]string
	}
	var got result
	browser.Result(t, write(), &got)
	want := result{
		Heading: "a.img → b.img", Sides: []string{"Aa.img", "Bb.img"},
		Rows: map[string][]string{
			"Packages": {
				"tool− /nix/store/0" + hash + "-tool-1.9+ /nix/store/2" + hash + "-tool-1.10|upgraded|1.9|1.10|8 B|10 B|+2 B",
			},
			"Files": {
				`/<img src=x onerror="document.title='hacked'">|added|file|1 B`,
				"/etc/text|content 8 bytes → 17 bytes first at byte 4linesdiff a/etc/text b/etc/text\n--- a/etc/text\n+++ b/etc/text\n@@ -1,2 +1,2 @@\n one\n-two\n+<b>three</b>\n|file|17 B",
				`/gone\xff|removed|file|1 B`,
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

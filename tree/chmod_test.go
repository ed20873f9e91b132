//go:build unix

package tree

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"diskwright/test/oracle"
)

// modes that are tried with every change.
var someModes = []uint32{0, 0o400, 0o444, 0o644, 0o640, 0o755, 0o711, 0o100, 0o010, 0o777, 0o4755, 0o6711, 0o2775, 0o1777, 0o7777, 0o7000}

var goodModes = []string{
	"755", "0644", "4755", "7777", "0", "00000755", "D755,F644", "D2775", "F400,D500",
	"u+rwX", "g-w", "a+X", "go=", "a=rX", "u=rwx,go=rX", "Du+w", "Fu-x", "D+x", "Fa=r",
	"u+rwX,g-w,D755,F644", "u=rwX,go=rX", "a-x,a+X", "a-X", "+x", "+w", "+rwx", "-w", "=rw", "=", "=X",
	"u+s", "g+s", "ug+s", "o+s", "a+s", "+s", "u-s", "g-s", "ug-s", "-s", "o-s", "+t", "u+t", "o-t", "-t",
	"u=s", "ug=rs", "g=s", "u=t", "a=rwxt", "u=rx", "=t", "=s", "a=s", "ugo+rwx", "aguo-rwx", "uu+x", "u+rr", "u+xX",
	"u=g", "g=u", "o=u,u=", "u=,o=u", "u+g", "g-o", "a=g", "ug=o", "=u", "+u", "-o", "a-u", "Dg=u", "o+u,u-o", // rsync 3.5
	"Dug+s", "D=rwx,F=rw", "uD+x", "gFu-r", "DD755", "u+", "-",
}

var badModes = []string{
	"", ",", "755,", ",755", "888", "75a", "10000", "77777", "u", "D", "DF755", "u755", "u+r+w", "u+rwq", "rwx", "u+755",
	"+7", "u=gr", "u=ug", "g=uX", "o=a", "755 ", " 755", "u +x", "x+u", "d755", "0o755", "-1", "D,F644", "u+DX", "é",
}

// TestParseModeAgainstRsync changes files of all modes with rsync.
func TestParseModeAgainstRsync(t *testing.T) {
	oracle.Need(t, "rsync")
	oracle.NeedRoot(t) // others may not read all of them
	dir := t.TempDir()
	for _, mode := range someModes {
		must(t, os.MkdirAll(fmt.Sprintf("%s/in/d%04o", dir, mode), 0o755))
		must(t, os.WriteFile(fmt.Sprintf("%s/in/f%04o", dir, mode), nil, 0o644))
		for _, kind := range "df" {
			must(t, unix.Chmod(fmt.Sprintf("%s/in/%c%04o", dir, kind, mode), mode))
		}
	}
	must(t, unix.Chmod(dir+"/in", 0o755))
	for n, text := range goodModes {
		change, err := ParseMode(text)
		if err != nil {
			t.Error(err)
			continue
		}
		out := fmt.Sprintf("%s/out%d", dir, n)
		script := `umask 022; rsync -a --chmod="$1" "$2" "$3"`
		oracle.Run(t, "sh", "-c", script, "sh", text, dir+"/in/", out)
		for _, mode := range someModes {
			for kind, format := range map[byte]uint32{'d': TypeDir, 'f': TypeRegular} {
				var st unix.Stat_t
				must(t, unix.Lstat(fmt.Sprintf("%s/%c%04o", out, kind, mode), &st))
				if got := change.Apply(format | mode); got != uint32(st.Mode) {
					t.Errorf("%q makes %c%04o %07o, with rsync %07o", text, kind, mode, got, st.Mode)
				}
			}
		}
	}
	for _, text := range badModes {
		if text == "" {
			continue // no change at all
		}
		if output, status := oracle.Exit(t, "rsync", "-a", "--chmod="+text, dir+"/in/", dir+"/bad"); status == 0 {
			t.Errorf("rsync takes %q: %s", text, output)
		}
	}
}

func TestParseModeErrors(t *testing.T) {
	for _, text := range badModes {
		if change, err := ParseMode(text); err == nil {
			t.Errorf("%q is taken as %+v", text, change)
		} else if !strings.Contains(err.Error(), fmt.Sprintf("mode %q: ", text)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, err := ParseMode("u+rwq")
	if want := `mode "u+rwq": 'q' is not a permission, one of r w x X s t; want octal ("755", "D755,F644") or symbolic ("u+rwX,go-w") items`; err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestModeChangeLeavesSymlinks(t *testing.T) {
	change, err := ParseMode("700")
	must(t, err)
	if got := change.Apply(TypeSymlink | 0o777); got != TypeSymlink|0o777 {
		t.Errorf("%o", got)
	}
	if got := change.Apply(TypeFIFO | 0o666); got != TypeFIFO|0o700 {
		t.Errorf("%o", got)
	}
}

package builder

import (
	"strings"
	"testing"

	"diskwright/filesystem/ext4"
	"diskwright/spec"

	"github.com/google/go-cmp/cmp"
)

func TestParseFileSystemSize(t *testing.T) {
	for text, want := range map[string]FileSystemSize{
		"auto":  {},
		"min":   {Mode: spec.DiskSizeMin},
		"512":   {spec.DiskSizeFixed, 512},
		"64M":   {spec.DiskSizeFixed, 64 << 20},
		"1.5G":  {spec.DiskSizeFixed, 3 << 29},
		"1024E": {}, // beyond what a disk can have
		"0":     {}, "513": {}, "64MB": {}, "-1": {}, "": {}, "large": {},
	} {
		got, err := ParseFileSystemSize(text)
		if wrong := want == (FileSystemSize{}) && text != "auto"; got != want || (err != nil) != wrong {
			t.Errorf("%q is %+v (%v), want %+v", text, got, err, want)
		}
	}
}

func TestParsePoolDataset(t *testing.T) {
	for text, want := range map[string]PoolDataset{
		"tank/a":                              {Name: "tank/a", Properties: map[string]string{}},
		"tank/a,mount=/":                      {Name: "tank/a", Mount: "/", Properties: map[string]string{}},
		"tank/a,atime=off,b:c=d=e,mount=/x y": {Name: "tank/a", Mount: "/x y", Properties: map[string]string{"atime": "off", "b:c": "d=e"}},
	} {
		got, err := ParsePoolDataset(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
	}
	for text, message := range map[string]string{
		"mount=/":                   "does not begin with the name of a dataset",
		"tank/a,":                   `"" is not PROPERTY=VALUE`,
		"tank/a,atime":              `"atime" is not PROPERTY=VALUE`,
		"tank/a,=x":                 `"=x" is not PROPERTY=VALUE`,
		"tank/a,atime=on,atime=off": `"atime" is given twice`,
		"tank/a,mount=/a,mount=/b":  `"mount" is given twice`,
	} {
		if _, err := ParsePoolDataset(text); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%q: %v, want %q", text, err, message)
		}
	}
}

// The name of the output says what nobody else has said.
func TestSetOutput(t *testing.T) {
	for _, c := range []struct {
		path                        string
		format                      string // as the flag says; empty is not given
		want, subformat, compressed string
	}{
		{"a.ext4", "", "raw", "", ""},
		{"a.qcow2", "", "qcow2", "", ""},
		{"a.img.zst", "", "raw", "", "zstd"},
		{"a.raw.tar.gz", "", "raw", "tar", "gzip"},
		{"a.qcow2", "raw", "raw", "", ""},
	} {
		s := spec.New()
		if c.format != "" {
			for _, p := range spec.Parameters() {
				if p.Name == "format" {
					if err := s.SetFlag(p, []string{c.format}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		SetOutput(s, c.path)
		if s.Format != c.want || s.Subformat != c.subformat || s.Compress != c.compressed {
			t.Errorf("%q with --format %q: %s %q %q", c.path, c.format, s.Format, s.Subformat, s.Compress)
		}
	}
}

// What is wrong with a file system is said with what is wrong otherwise, before
// anything is read.
func TestFileSystemProblems(t *testing.T) {
	for name, c := range map[string]struct {
		maker    Maker
		messages []string
	}{
		"ext4": {Ext{Kind: ext4.Ext4, Label: strings.Repeat("x", 17)}, []string{"17 bytes"}},
		"fat":  {FAT{Bits: 13}, []string{"12, 16 or 32 bits"}},
		"pool": {Pool{Name: "tank", Properties: map[string]string{"compresion": "on", "atime": "2"}}, []string{`did you mean "compression"`, "atime"}},
		"datasets": {Pool{Name: "tank", Datasets: []PoolDataset{{Name: "rpool/a"}, {Name: "tank/b", Mount: "b"}}},
			[]string{`"rpool/a" is not below the pool`, `dataset "tank/b": mount`}},
		"mounts": {Pool{Name: "tank", Datasets: []PoolDataset{{Name: "tank/a", Mount: "/"}, {Name: "tank/b", Mount: "/"}}}, []string{"two datasets"}},
	} {
		s := spec.New()
		s.Root, s.Owners = "/missing", "nobody"
		_, err := NewFileSystem(t.Context(), s, c.maker, Options{})
		for _, message := range append(c.messages, `"nobody" is unknown`) {
			if err == nil || !strings.Contains(err.Error(), message) {
				t.Errorf("%s: %v, want %q", name, err, message)
			}
		}
	}
}

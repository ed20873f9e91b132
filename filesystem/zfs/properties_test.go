package zfs

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"diskwright/filesystem/zfs/ondisk"
)

// Numbers as OpenZFS stores them.
func TestPropertyValues(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       uint64
	}{
		{"compression", "on", 1}, {"compression", "off", 2}, {"compression", "lz4", 15}, {"compression", "gzip", 10},
		{"compression", "gzip-1", 5}, {"compression", "gzip-9", 13}, {"compression", "zle", 14}, {"compression", "zstd", 16},
		{"compression", "zstd-3", 16 | 3<<7}, {"compression", "zstd-19", 16 | 19<<7}, {"compression", "zstd-fast", 16 | 103<<7},
		{"compression", "zstd-fast-10", 16 | 112<<7}, {"compression", "zstd-fast-20", 16 | 113<<7}, {"compression", "zstd-fast-1000", 16 | 123<<7},
		{"checksum", "on", 1}, {"checksum", "off", 2}, {"checksum", "fletcher4", 7}, {"checksum", "sha256", 8}, {"checksum", "sha512", 11},
		{"recordsize", "1M", 1 << 20}, {"recordsize", "128KiB", 128 << 10}, {"recordsize", "4096", 4096}, {"recordsize", "0.5k", 512},
		{"acltype", "posixacl", 1}, {"acltype", "posix", 1}, {"acltype", "nfsv4", 2}, {"acltype", "off", 0},
		{"xattr", "sa", 2}, {"xattr", "dir", 1}, {"canmount", "noauto", 2}, {"atime", "off", 0}, {"sync", "disabled", 2},
		{"normalization", "formD", 0x10}, {"normalization", "formKC", 0x60}, {"casesensitivity", "mixed", 2},
		{"quota", "none", 0}, {"quota", "1.5G", 3 << 29}, {"reservation", "10GB", 10 << 30}, {"dnodesize", "4k", 4096},
	} {
		v, err := parseProperty(test.name, test.text, fileSystemProperties)
		if err != nil || v.isText || v.number != test.want {
			t.Errorf("%s=%s: %v %v, want %d", test.name, test.text, v, err, test.want)
		}
	}
}

func TestPropertyRefusals(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"compresion", "on", `property "compresion" is not known; did you mean "compression"?`},
		{"compress", "on", `did you mean "compression"?`},
		{"recsize", "4K", `did you mean "recordsize"?`},
		{"wholly unlike", "", `property "wholly unlike" is not known`},
		{"compression", "lzjb", `compression="lzjb": blocks with it are not written here`},
		{"compression", "zstd-20", `zstd-1 to zstd-19`},
		{"compression", "zstd-fast-11", `zstd-fast-N`},
		{"compression", "gzip-0", `gzip-1 to gzip-9`},
		{"compression", "lz4-1", `not one of on, off, lz4`},
		{"checksum", "blake3", `checksum="blake3": blocks with it are not written here`},
		{"atime", "yes", `atime="yes": not one of on, off`},
		{"copies", "4", `copies="4": not one of 1, 2, 3`},
		{"recordsize", "2M", `not a power of two from 512 to 1048576`},
		{"recordsize", "256", `not a power of two`},
		{"recordsize", "3000", `not a power of two`},
		{"quota", "-1", `not a number of bytes such as`},
		{"quota", "1T5", `not a number of bytes`},
		{"quota", "16E", `not a number of bytes`},
		{"quota", "5iB", `not a number of bytes`},
		{"mountpoint", "nowhere", `neither an absolute path`},
		{"used", "1", `"used" cannot be set: it is what ZFS finds`},
		{"volsize", "1G", `"volsize" cannot be set: it is of volumes`},
		{"userquota@joe", "1G", `quotas of users, groups and projects are given when the pool is in use`},
		{"encryption", "on", `encrypted file systems are made with zfs create`},
		{"dedup", "on", `nothing is deduplicated`},
		{"version", "4", `before 2009`},
		{"feature@lz4_compress", "enabled", `is not known`},
		{"Org.example:x", "", `small letters, digits`},
		{"org.example:" + strings.Repeat("x", 255), "", `at most 255 bytes`},
		{"org.example:x", strings.Repeat("x", 9000), `more than 8191 bytes`},
		{"org.example:x", "a\x00b", `zero byte`},
	} {
		if err := CheckProperties(props{test.name: test.text}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s=%s: %v, want %s", test.name, test.text, err, test.want)
		}
	}
	for _, test := range []struct{ name, text, want string }{
		{"ashif", "12", `pool property "ashif" is not known; did you mean "ashift"?`},
		{"ashift", "8", `not a number from 9 to 13`},
		{"autoexpand", "yes", `not one of on, off`},
		{"comment", "tab\t", `not printable ASCII`},
		{"comment", strings.Repeat("x", 33), `more than 32 bytes`},
		{"cachefile", "none", `"cachefile" cannot be set: it lasts as long as an import`},
		{"size", "1", `it is what ZFS finds`},
		{"version", "28", `the version of pools with features`},
		{"feature@unheard", "enabled", `there is no such feature`},
	} {
		if err := CheckPoolProperties(props{test.name: test.text}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s=%s: %v, want %s", test.name, test.text, err, test.want)
		}
	}
	// All that is wrong is told.
	if err := CheckProperties(props{"a": "", "atime": "x", "exec": "on"}); strings.Count(err.Error(), "\n") != 1 {
		t.Error(err)
	}
}

// A set of features that lacks what a property needs refuses it.
func TestPropertiesNeedFeatures(t *testing.T) {
	for _, test := range []struct {
		features string
		props    props
		want     string
	}{
		{"legacy", props{"compression": "lz4"}, "property compression: feature \"lz4_compress\""},
		{"legacy", props{"compression": "gzip"}, ""},
		{"legacy", props{"recordsize": "128K"}, ""},
		{"zol-0.8", props{"compression": "zstd-3"}, "property compression: feature \"zstd_compress\""},
		{"zol-0.6.4", props{"recordsize": "256K"}, "property recordsize: feature \"large_blocks\""},
		{"zol-0.6.5", props{"checksum": "sha512"}, "property checksum: feature \"sha512\""},
		{"zol-0.6.5", props{"dnodesize": "auto"}, "property dnodesize: feature \"large_dnode\""},
		{"openzfs-2.1", props{"compression": "zstd-3", "recordsize": "1M", "checksum": "sha512", "dnodesize": "auto"}, ""},
		{"minimal", props{"compression": "zstd-3", "recordsize": "1M", "checksum": "sha512", "dnodesize": "auto"}, ""},
	} {
		opts := testOptions(256 * mib)
		opts.Features = test.features
		opts.Datasets = []Dataset{{Name: "a", Properties: test.props}}
		_, err := New(t.Context(), dir(), opts)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), `dataset "a": `+test.want)) {
			t.Errorf("%s %v: %v, want %s", test.features, test.props, err, test.want)
		}
	}
}

// File systems inherit how they store, and the last word counts.
func TestInheritance(t *testing.T) {
	opts := testOptions(256 * mib)
	opts.Properties = props{"compression": "gzip", "recordsize": "16K", "copies": "2", "atime": "off", "canmount": "off", "org.example:x": "y"}
	opts.PoolProperties = props{"ashift": "10", "bootfs": "tank/a/b", "comment": "a comment"}
	opts.Datasets = []Dataset{
		{Name: "a/b", Properties: props{"compression": "zstd-5", "acltype": "posix"}},
		{Name: "a", Properties: props{"recordsize": "1M", "checksum": "sha256", "casesensitivity": "mixed", "normalization": "formC"}},
	}
	opts, err := opts.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p := &pool{opts: opts}
	if p.features, err = newFeatureSet(opts.Features, opts.PoolProperties); err != nil {
		t.Fatal(err)
	}
	systems := p.fileSystems(dir())
	if err := p.setUp(systems); err != nil {
		t.Fatal(err)
	}
	want := storage{packing{ondisk.CompressionZstd, 5, 10}, ondisk.ChecksumSHA256, 1 << 20, 2, 0, naming{0x50, 2, 1}}
	if got := systems[2].storage; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for i, want := range []string{
		"atime=0 canmount=0 compression=10 copies=2 org.example:x=y recordsize=16384 xattr=2",
		"checksum=8 recordsize=1048576",
		"acltype=1 compression=656",
	} {
		var got []string
		for _, e := range systems[i].localProperties() {
			v := fmt.Sprint(e.Value)
			if e.Array != nil {
				v = strings.TrimSuffix(string(e.Array), "\x00")
			}
			got = append(got, e.Name+"="+v)
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%q has %s, want %s", systems[i].name, got, want)
		}
	}
	opts.PoolProperties["bootfs"] = "tank/elsewhere"
	if err := p.setUp(systems); err == nil || !strings.Contains(err.Error(), `bootfs: there is no file system "tank/elsewhere"`) {
		t.Error(err)
	}
}

// OpenZFS knows every property by the name that it has here, and its numbers.
func TestPropertiesOfZDB(t *testing.T) {
	opts := testOptions(256 * mib)
	opts.Features = "openzfs-2.1"
	opts.Properties = props{
		"mountpoint": "/data", "compression": "zstd-7", "acltype": "posixacl", "org.example:note": "some text",
		"quota": "10G", "sharenfs": "on", "recordsize": "1M", "canmount": "noauto",
	}
	image := write(t, plan(t, dir(), opts))
	check(t, image)
	out := zdb(t, image, "-dddd", "tank")
	for _, want := range []string{
		`mountpoint = /data`, `compression = 912`, `acltype = 1`, `org.example:note = some text`,
		`sharenfs = on`, `recordsize = 1048576`, `canmount = 2`,
	} {
		if !regexp.MustCompile(`(?m)^\t*` + regexp.QuoteMeta(want) + ` *$`).MatchString(out) {
			t.Errorf("zdb does not say %q:\n%s", want, clip(out))
		}
	}
}

// Sizes that ZFS prints are read as it reads them, and everything else is an error,
// not a panic.
func TestParseSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shift := rapid.IntRange(0, 6).Draw(t, "unit") * 10
		n := rapid.Uint64Range(0, math.MaxUint64>>shift).Draw(t, "n")
		suffix := rapid.SampledFrom([]string{"", "B", "iB", "b"}).Draw(t, "suffix")
		unit := string(" KMGTPE"[shift/10])
		if shift == 0 {
			unit = ""
			if suffix == "iB" {
				suffix = "B"
			}
		}
		if got, err := parseSize(fmt.Sprint(n) + unit + suffix); err != nil || got != n<<shift {
			t.Fatalf("%d%s%s: %d %v", n, unit, suffix, got, err)
		}
		parseSize(rapid.String().Draw(t, "anything"))
		parseSize(rapid.StringMatching(`[0-9.KMBiE]{0,6}`).Draw(t, "almost"))
	})
}

// Every name of a property is near to itself with a letter wrong.
func TestNearest(t *testing.T) {
	for name := range fileSystemProperties {
		if len(name) < 4 {
			continue
		}
		wrong := name[:2] + "Z" + name[3:]
		if got := nearest(wrong, fileSystemProperties); distance(got, wrong) > 1 {
			t.Errorf("%q means %q, not %q", wrong, got, name)
		}
	}
}

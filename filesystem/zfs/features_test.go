package zfs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Every name in the table is that of a feature, and a set has what its features
// need.
func TestFeatureSets(t *testing.T) {
	for _, name := range FeatureSets() {
		if _, err := newFeatureSet(name, nil); err != nil {
			t.Error(err)
		}
	}
	for _, name := range compatibilityNames() {
		s, err := setNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		before := maps.Clone(s.enabled)
		if err := s.change(nil); err != nil || name != "grub2-2.06" && !maps.Equal(before, s.enabled) {
			t.Errorf("%s: %v; %d features, but %d with what they need", name, err, len(before), len(s.enabled))
		}
	}
	for i, set := range compatibilitySets {
		for more := range strings.FieldsSeq(set.more) {
			if f, ok := featureNamed(more); !ok || f.String() != more {
				t.Errorf("%s: there is no feature %q", set.name, more)
			}
		}
		if base := slices.IndexFunc(compatibilitySets, func(c struct{ name, base, more string }) bool { return c.name == set.base }); base >= i {
			t.Errorf("%s comes before %s", set.name, set.base)
		}
	}
	// How many features OpenZFS lists for them.
	for name, want := range map[string]int{
		"legacy": 0, "zol-0.6.1": 3, "compat-2018": 11, "compat-2020": 14, "zol-0.7": 17, "freebsd-12.2": 18, "ubuntu-20.04": 26,
		"openzfs-2.0-freebsd": 32, "openzfs-2.0-linux": 33, "openzfs-2.1-linux": 34, "openzfs-2.2": 39, "openzfs-2.3": int(featureCount),
		"grub2-2.06": 14, "grub2": 22,
	} {
		if s, _ := setNamed(name); len(s.enabled) != want {
			t.Errorf("%s has %d features, want %d", name, len(s.enabled), want)
		}
	}
}

// Properties change a set; what a feature needs comes with it.
func TestFeatureProperties(t *testing.T) {
	for i, test := range []struct {
		set        string
		properties map[string]string
		want       string // features in the order of the table, or an error
	}{
		{"minimal", nil, ""},
		{"", map[string]string{"feature@zstd_compress": "enabled"}, "extensible_dataset zstd_compress"},
		{"legacy", map[string]string{"feature@log_spacemap": "active"}, "log_spacemap spacemap_v2"},
		{"zol-0.6.1", map[string]string{"feature@empty_bpobj": "disabled", "comment": "x"}, "async_destroy lz4_compress"},
		{"", map[string]string{"compatibility": "zol-0.6.1"}, "async_destroy empty_bpobj lz4_compress"},
		{"legacy", map[string]string{"compatibility": "zol-0.6.1"}, ""},
		{"", map[string]string{"compatibility": "grub2-2.06,zol-0.6.4"}, "async_destroy embedded_data empty_bpobj enabled_txg hole_birth lz4_compress spacemap_histogram"},
		{"", map[string]string{"compatibility": "off"}, ""},
		{"", map[string]string{"compatibility": "legacy"}, ""},
		{"", map[string]string{"compatibility": "minimal"}, `pool property compatibility: there is no set of features "minimal"; there are legacy, zol-0.6.1`},
		{"", map[string]string{"compatibility": "grub2,openzfs-2.1"}, `there is no set of features "openzfs-2.1"`},
		{"2.1", nil, `no set of features "2.1"; there are minimal, openzfs-2.0, openzfs-2.1, legacy, zol-0.6.1`},
		{"", map[string]string{"feature@zstd": "enabled"}, `property "feature@zstd": there is no such feature`},
		{"", map[string]string{"feature@zstd_compress": "on"}, `"on" is not "enabled", "active" or "disabled"`},
		{"zol-0.6.4", map[string]string{"feature@enabled_txg": "disabled"}, `feature "hole_birth": feature "enabled_txg" is disabled`},
	} {
		s, err := newFeatureSet(test.set, test.properties)
		got := fmt.Sprint(err)
		if err == nil {
			var names []string
			for f := range featureCount {
				if s.has(f) {
					names = append(names, f.String())
				}
			}
			slices.Sort(names)
			got = strings.Join(names, " ")
		}
		if got != test.want && (err == nil || !strings.Contains(got, test.want)) {
			t.Errorf("%d: %q, want %q", i, got, test.want)
		}
	}
	s, _ := newFeatureSet("", map[string]string{"feature@large_blocks": "disabled"})
	if err := s.need(featureSHA512); err != nil || !s.has(featureExtensibleDataset) {
		t.Errorf("%v: the smallest set has what is needed", err)
	}
	if err := s.need(featureLargeBlocks); err == nil {
		t.Error("a disabled feature can be used")
	}
	if s, _ = setNamed("grub2"); !errors.Is(s.need(featureZstd), errNoFeature) {
		t.Error("a set has what it does not list")
	}
}

// zdb finds as many uses of features as the pool says there are, and all features
// that zpool of the version enables.
func TestFeaturesZDB(t *testing.T) {
	root := everything(t)
	for i, set := range []string{"openzfs-2.1", "grub2-2.06", "zol-0.6.5", "ubuntu-18.04", "ubuntu-20.04", "legacy"} {
		if i > 0 && !long {
			break
		}
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			opts := testOptions(gib)
			opts.Features = set
			opts.PoolProperties["ashift"] = fmt.Sprint(9 + 3*(i%2))
			opts.PoolProperties["comment"] = "a pool"
			opts.PoolProperties["bootfs"] = "tank/a/b"
			if set != "legacy" {
				opts.Properties["compression"] = "lz4"
			}
			opts.Datasets = []Dataset{{Name: "a/b", Root: nil}, {Name: "c"}}
			image := write(t, plan(t, root, opts))
			check(t, image)
			s, _ := newFeatureSet(set, nil)
			out := zdb(t, image, "-dddd", "tank")
			if !strings.Contains(out, "bootfs = ") || !strings.Contains(out, "comment: 'a pool'") {
				t.Errorf("the pool's properties are not there:\n%s", clip(out))
			}
			for f := range s.enabled {
				if !strings.Contains(out, f.info().guid+" = ") {
					t.Errorf("%s is not in the pool", f)
				}
			}
			for _, name := range []string{"text-1", "text-113", "text-131073", "zeros-4097"} { // the first is embedded
				grub(t, image, "sizes/"+name, contentOf(t, root.Child("sizes").Child(name)))
			}
			inodes(t, image, root)
		})
	}
}

// Pools with all features are the same every time, too.
func TestFeaturesDeterminism(t *testing.T) {
	root, sub := dir(), dir()
	for i := range 300 {
		sub.SetChild(fmt.Sprint(i), file(text(int64(i*i))))
	}
	opts := testOptions(256 * mib)
	opts.Features = "openzfs-2.3"
	opts.Properties["compression"] = "lz4"
	opts.Datasets = []Dataset{{Name: "a", Root: sub}, {Name: "b"}, {Name: "c/d"}}
	want := digest(t, root, opts)
	for range 5 {
		if digest(t, root, opts) != want {
			t.Fatal("two pools differ")
		}
	}
}

// What is reserved is counted as used, and must fit.
func TestReservations(t *testing.T) {
	sub := dir()
	sub.SetChild("f", file(noise(mib)))
	opts := testOptions(gib)
	opts.Datasets = []Dataset{
		{Name: "a", Properties: map[string]string{"reservation": "50M", "quota": "100M"}},
		{Name: "a/b", Root: sub, Properties: map[string]string{"refreservation": "20M", "refquota": "30M"}},
		{Name: "c", Properties: map[string]string{"quota": "40M", "reservation": "10K"}},
	}
	image := write(t, plan(t, dir(), opts))
	check(t, image)
	out := zdb(t, image, "-P", "-dddd", "tank")
	for _, want := range []string{
		fmt.Sprintf("reserved = %d\n", 50*mib), fmt.Sprintf("quota = %d\n", 100*mib), fmt.Sprintf("quota = %d\n", 40*mib),
		fmt.Sprintf("used_bytes = %d\n", 20*mib),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("zdb does not say %q:\n%s", want, clip(out))
		}
	}
	for want, change := range map[string]string{
		`dataset "a/b": the property refquota is 1048576 bytes, less than`: "refquota=1M",
		`dataset "a/b": the property quota is 1024 bytes, less than`:       "quota=1K",
		"bytes are missing":   "refreservation=900M",
		" bytes is too small": "reservation=15E",
	} {
		name, value, _ := strings.Cut(change, "=")
		opts.Datasets[1].Properties = map[string]string{name: value}
		opts.Datasets[0].Properties = nil
		if _, err := New(t.Context(), dir(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", change, err, want)
		}
	}
}

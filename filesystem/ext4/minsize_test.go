package ext4

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"diskwright/tree"
)

// measured returns the need of a tree that is only numbers: no planner is
// asked, so that a search can be compared with trying every size.
func measured(opts Options, inodes, blocks int64) Need {
	c := &census{blocks: blocks, opts: opts.ofTree()}
	return Need{Inodes: inodes, Blocks: blocks, census: c}
}

// bruteForce returns the smallest size by trying all, from any lower bound.
func bruteForce(need Need, opts Options, slack Slack) int64 {
	s := sizing{need: &need, opts: opts, slack: slack}
	for blocks := need.Blocks + need.Inodes*inodeSize/blockSize; ; blocks++ {
		s.opts.Size = blocks * blockSize
		if l, err := need.layout(s.opts); err == nil && s.fit(l) {
			return s.opts.Size
		}
	}
}

// TestMinSizeExact compares the search with trying every size.
func TestMinSizeExact(t *testing.T) {
	most := int64(4) // groups; 512 MiB is one of the edges
	if long() {
		most = 20
	}
	rapid.Check(t, func(t *rapid.T) {
		opts := testOptions(rapid.SampledFrom(kinds).Draw(t, "kind"), 0)
		opts.Profile = rapid.SampledFrom([]Profile{Upstream, Compatible}).Draw(t, "profile")
		blocks := rapid.OneOf(
			rapid.Int64Range(5, 5000),
			rapid.Int64Range(5, 50000),
			rapid.Map(rapid.Int64Range(1, most), func(g int64) int64 { return g * bitsPerBlock }),
		).Draw(t, "blocks")
		inodes := rapid.OneOf(
			rapid.Int64Range(13, 1000),
			rapid.Map(rapid.SampledFrom([]int64{1, 5, 25, 25, 25, 60, 100, 150}), func(percent int64) int64 { return 13 + blocks*percent/100 }),
		).Draw(t, "inodes")
		slack := Slack{
			Percent: rapid.SampledFrom([]int{0, 0, 10, 37}).Draw(t, "percent"),
			Bytes:   rapid.SampledFrom([]int64{0, 0, 1, 50 * mib}).Draw(t, "bytes"),
		}
		need := measured(opts, inodes, blocks)
		got, err := MinSize(need, opts, slack)
		if err != nil {
			t.Fatal(err)
		}
		if want := bruteForce(need, opts, slack); got != want {
			t.Fatalf("%+v %+v: %d bytes, but %d suffice", need, slack, got, want)
		}
	})
}

// TestMinSizeLarge tries sizes below the smallest one of large trees: those right
// below, and some anywhere.
func TestMinSizeLarge(t *testing.T) {
	for _, need := range []struct{ inodes, blocks int64 }{
		{1e5, 100 * gib / blockSize},
		{1e5, 4*tib/blockSize - 1<<24}, // more inodes below 4 TiB than above
		{1e8, 1 * tib / blockSize},
		{1e8, 1e8},
		{1e5, 16*tib/blockSize - 1<<23},
	} {
		for _, percent := range []int{0, 10} {
			opts := testOptions(Ext4, 0)
			need, slack := measured(opts, need.inodes, need.blocks), Slack{Percent: percent}
			size, err := MinSize(need, opts, slack)
			if err != nil {
				t.Fatal(err)
			}
			fits := func(blocks int64) bool {
				s := sizing{need: &need, opts: opts, slack: slack}
				s.opts.Size = blocks * blockSize
				l, err := need.layout(s.opts)
				return err == nil && s.fit(l)
			}
			least, blocks := need.Blocks, size/blockSize
			if !fits(blocks) {
				t.Errorf("%+v with %d%%: %d blocks do not do", need.Inodes, percent, blocks)
			}
			for n := int64(1); n <= 100; n++ {
				for _, below := range []int64{blocks - n, least + (blocks-least)*n/101} {
					if fits(below) {
						t.Errorf("%d inodes, %d blocks, %d%%: %d blocks do, not only %d", need.Inodes, need.Blocks, percent, below, blocks)
					}
				}
			}
		}
	}
}

// TestMinSizePlans plans real trees at their smallest size, and at sizes below.
func TestMinSizePlans(t *testing.T) {
	trees := map[string]*tree.Inode{
		"empty": dir(),
		"large": func() *tree.Inode {
			root := dir()
			for i := range 20 {
				root.SetChild(fmt.Sprint("dense", i), file(zeros(int64(i*i)*31*mib+1)))
				root.SetChild(fmt.Sprint("sparse", i), file(everyOther(t, i*50)))
			}
			return root
		}(),
		"names": dirOf(100000, func(i int) string { return fmt.Sprintf("%08d", i) }),
	}
	inodes := dir()
	for i := range 50000 {
		inodes.Entries = append(inodes.Entries, tree.Entry{Name: fmt.Sprintf("%06d", i), Inode: file(nil)})
	}
	trees["inodes"] = inodes
	for name, root := range trees {
		t.Run(name, func(t *testing.T) {
			forKinds(t, kinds, func(t *testing.T, opts Options) {
				need, err := Measure(root, opts)
				if err != nil {
					t.Fatal(err)
				}
				opts.Size, err = MinSize(need, opts, Slack{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := Plan(need, opts); err != nil {
					t.Errorf("%d bytes are said to suffice: %v", opts.Size, err)
				}
				for range 20 {
					opts.Size -= blockSize
					if _, err := Plan(need, opts); err == nil {
						t.Errorf("%d bytes suffice", opts.Size)
					}
				}
				var noSpace *NoSpaceError
				opts.Size += 19 * blockSize
				if _, err := Plan(need, opts); !errors.As(err, &noSpace) || noSpace.EnoughBytes != opts.Size+blockSize {
					t.Errorf("one block too few: %v", err)
				}
			})
		})
	}
}

// TestMinSizeSlack finds what was asked for free.
func TestMinSizeSlack(t *testing.T) {
	root := everything(t, Ext4)
	opts := testOptions(Ext4, 0)
	need, err := Measure(root, opts)
	if err != nil {
		t.Fatal(err)
	}
	opts.Inodes = need.Inodes + 4096
	opts.Size, err = MinSize(need, opts, Slack{Percent: 10, Bytes: 100 * mib})
	if err != nil {
		t.Fatal(err)
	}
	fs, err := Plan(need, opts)
	if err != nil {
		t.Fatal(err)
	}
	if s := fs.Stats(); s.FreeInodes < 4096 || s.FreeBlocks < (s.Blocks+9)/10+100*mib/blockSize {
		t.Errorf("%+v", s)
	}
}

func BenchmarkMinSize(b *testing.B) {
	for _, blocks := range []int64{1e4, 1e6, 1e8, 1e9} {
		b.Run(fmt.Sprint(blocks), func(b *testing.B) {
			for b.Loop() {
				if _, err := MinSize(measured(testOptions(Ext4, 0), blocks/8, blocks), testOptions(Ext4, 0), Slack{Percent: 10}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

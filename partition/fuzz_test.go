package partition

import "testing"

// FuzzRead reads disks that begin with head, end with tail, and are zero in
// between.
func FuzzRead(f *testing.F) {
	for _, layout := range []Layout{Legacy, LegacyBoot, LegacyGPT, Hybrid} {
		b := image(f, plan(f, layout))
		f.Add(b[:3*SectorSize], b[len(b)-33*SectorSize:], uint16(1000))
	}
	f.Add(logical([2]mbrEntry{{0, CodeLinux, 1, 9}, {0, CodeExtended, 10, 20}})[:111*SectorSize], []byte{}, uint16(2000))
	f.Fuzz(func(t *testing.T, head, tail []byte, sectors uint16) {
		d := sparse{head, tail, max(int64(sectors)*SectorSize, int64(len(head)+len(tail)))}
		table, err := Read(d, d.size)
		if err != nil {
			t.Fatal(err)
		}
		if len(table.Problems) > maxProblems+1 {
			t.Errorf("%d problems", len(table.Problems))
		}
		for _, p := range table.Partitions {
			if p.Start < 0 || p.Sectors < 1 || p.Last() < p.Start || table.Offset(p) < 0 || table.Size(p) < 1 || table.Offset(p)+table.Size(p) < 0 {
				t.Errorf("%+v", p)
			}
			_ = p.TypeName()
		}
		if len(table.Problems) > 0 || table.SectorSize != SectorSize {
			return
		}
		// A table without problems can be written again, unless it is of another
		// shape than ours, and says the same.
		if m, err := table.Map(nil); err == nil {
			again, err := Read(m, m.Size())
			if err != nil || len(again.Partitions) != len(table.Partitions) {
				t.Errorf("%+v becomes %+v, %v", table, again, err)
			}
		}
	})
}

// sparse is a disk that is zero but for its ends.
type sparse struct {
	head, tail []byte
	size       int64
}

func (d sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(d.head)) {
		copy(p, d.head[off:])
	}
	if at := d.size - int64(len(d.tail)) - off; at < int64(len(p)) {
		copy(p[max(at, 0):], d.tail[min(max(-at, 0), int64(len(d.tail))):])
	}
	return len(p), nil
}

func FuzzPlan(f *testing.F) {
	f.Add("256M", int64(600))
	f.Add("1.5GiB", int64(4096))
	f.Fuzz(func(t *testing.T, boot string, mib int64) {
		r := Request{Layout: EFI, Compat: Older, DiskSize: mib << 20, BootSizeText: boot, Deterministic: true, RootGUID: rootGUID}
		if table, err := Plan(r); err == nil {
			if _, err := table.Map(nil); err != nil {
				t.Error(err)
			}
		}
	})
}

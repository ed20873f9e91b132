package vmdk

import (
	"context"
	"fmt"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
)

// Layout returns the MonolithicSparse image of the disk m as a map of its file.
func Layout(ctx context.Context, m *diskmap.Map, o Options) (*diskmap.Map, error) {
	if o.Subformat != MonolithicSparse {
		return nil, fmt.Errorf("vmdk: a %s image is compressed, and known only when it has been written", o.Subformat)
	}
	sectors, err := diskSectors(m)
	if err != nil {
		return nil, err
	}
	text, err := o.descriptor(sectors)
	if err != nil {
		return nil, err
	}
	spans, err := block.Used(ctx, m, GrainSize, o.Workers)
	if err != nil {
		return nil, err
	}
	used := block.NewIndex(spans)

	tables := block.DivideUp(sectors, grainSectors*tableGrains)
	directorySectors := block.DivideUp(tables*entrySize, sectorSize)
	redundant := int64(descriptorSector + descriptorSectors)
	directory := redundant + directorySectors + tables*tableSectors
	data := block.DivideUp(directory+directorySectors+tables*tableSectors, grainSectors) * grainSectors
	if end := data + used.Count()*grainSectors; end > maxSectors {
		return nil, errTooMuchData(end)
	}
	h := header{
		version:            versionSparse,
		flags:              flagNewlines | flagRedundant,
		capacity:           uint64(sectors),
		grainSize:          grainSectors,
		descriptor:         descriptorSector,
		descriptorSize:     descriptorSectors,
		tableEntries:       tableGrains,
		redundantDirectory: uint64(redundant),
		directory:          uint64(directory),
		overhead:           uint64(data),
	}
	var b diskmap.Builder
	b.Place(0, content.Bytes(h.encode()))
	b.Place(descriptorSector*sectorSize, content.Bytes(text))
	for _, at := range []int64{redundant, directory} {
		first := at + directorySectors
		b.Place(at*sectorSize, block.Entries(tables, entrySize, func(p []byte, index int64) {
			le.PutUint32(p, uint32(first+index*tableSectors))
		}))
		placeTables(&b, used, tables, first, data)
	}
	used.Store(&b, m, GrainSize, data*sectorSize)
	return b.Map((data + used.Count()*grainSectors) * sectorSize)
}

// placeTables places the grain tables, the first of them at a sector. Those
// that have only zeros are holes.
func placeTables(b *diskmap.Builder, used *block.Index, tables, first, data int64) {
	all := block.Entries(tables*tableGrains, entrySize, func(p []byte, index int64) {
		entry := uint32(0)
		if n, ok := used.Number(index); ok {
			entry = uint32(data + n*grainSectors)
		}
		le.PutUint32(p, entry)
	})
	const tableSize = tableGrains * entrySize
	done := int64(0) // tables
	for _, s := range used.Spans() {
		from, to := max(s.First/tableGrains, done), block.DivideUp(s.End(), tableGrains)
		if from < to {
			b.Place(first*sectorSize+from*tableSize, content.Section(all, from*tableSize, (to-from)*tableSize))
			done = to
		}
	}
}

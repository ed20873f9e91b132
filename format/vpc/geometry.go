package vpc

// geometry is the disk as a drive of cylinders, heads and sectors per track.
type geometry struct {
	cylinders       uint16
	heads, perTrack uint8
}

// maxGeometry is the largest that there is. It stands for anything larger, too.
var maxGeometry = geometry{65535, 16, 255}

// sectors returns how many sectors the drive has.
func (g geometry) sectors() int64 {
	return int64(g.cylinders) * int64(g.heads) * int64(g.perTrack)
}

// geometryOf returns the geometry for a disk of sectors, rounded down: appendix
// "CHS Calculation" of the specification.
func geometryOf(sectors int64) geometry {
	sectors = min(sectors, maxGeometry.sectors())
	var perTrack, heads, tracks int64
	if sectors >= 65535*16*63 {
		perTrack, heads = 255, 16
		tracks = sectors / perTrack
	} else {
		perTrack = 17
		tracks = sectors / perTrack
		heads = max(4, (tracks+1023)/1024)
		if tracks >= heads*1024 || heads > 16 {
			perTrack, heads = 31, 16
			tracks = sectors / perTrack
		}
		if tracks >= heads*1024 {
			perTrack, heads = 63, 16
			tracks = sectors / perTrack
		}
	}
	return geometry{uint16(tracks / heads), uint8(heads), uint8(perTrack)}
}

// geometryFor returns the first geometry that holds a disk of sectors, which is
// what qemu-img chooses.
func geometryFor(sectors int64) geometry {
	for n := sectors; ; n++ {
		if g := geometryOf(n); g == maxGeometry || g.sectors() >= sectors {
			return g
		}
	}
}

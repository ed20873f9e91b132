package ondisk

import "math/bits"

// A space map is a log of what was allocated and freed in a metaslab: words of 64
// bits in units of 1<<ashift bytes (SM_OFFSET_DECODE and so on), and a bonus with
// the sums. Pools with the feature spacemap_v2 have entries of two words as well,
// for runs of any length (SM2_OFFSET_DECODE and so on).
//
//	| debug (1) | offset (47) | free (1) | run - 1 (15) |
//	| 3 (2) | nothing (2) | run - 1 (36) | device (24) |    | free (1) | offset (63) |
const (
	spaceMapRunMax    = 1 << 15
	spaceMapOffsetBit = 16

	spaceMapTwoWords = 3 << 62
	spaceMapLongBit  = 24

	// Sizes of the bonus without and with the feature spacemap_histogram
	// (SPACE_MAP_SIZE_V0, space_map_phys_t).
	spaceMapBonus          = 24
	spaceMapBonusHistogram = 320
	spaceMapHistogramAt    = 64
	spaceMapBuckets        = 32
)

// SpaceMap is the space map of a metaslab whose first units are allocated, and
// nothing else. It fits no more than 1<<36 units of 1<<ashift bytes.
type SpaceMap struct {
	Object    uint64 // its number
	Ashift    int
	Units     int64 // of the metaslab
	Allocated int64 // units of those
	TwoWords  bool  // the pool has the feature spacemap_v2
	Histogram bool  // the pool has the feature spacemap_histogram
}

// Log returns the entries.
func (m *SpaceMap) Log() []byte {
	if m.TwoWords && m.Allocated > spaceMapRunMax {
		p := le.AppendUint64(nil, spaceMapTwoWords|uint64(m.Allocated-1)<<spaceMapLongBit)
		return le.AppendUint64(p, 0)
	}
	p := make([]byte, 0, 8*((m.Allocated+spaceMapRunMax-1)/spaceMapRunMax))
	for at := int64(0); at < m.Allocated; {
		run := min(m.Allocated-at, spaceMapRunMax)
		p = le.AppendUint64(p, uint64(at)<<spaceMapOffsetBit|uint64(run-1))
		at += run
	}
	return p
}

// Bonus returns the header (space_map_phys_t): the object number, which nothing
// reads, the length of the log, how many bytes it says are allocated. By the
// histogram OpenZFS chooses where to allocate without reading the log: how many
// free runs there are of 1<<i units or more, but fewer than 1<<(i+1).
func (m *SpaceMap) Bonus() []byte {
	size := spaceMapBonus
	if m.Histogram {
		size = spaceMapBonusHistogram
	}
	p := make([]byte, size)
	putWords(p, m.Object, uint64(len(m.Log())), uint64(m.Allocated)<<m.Ashift)
	if free := m.Units - m.Allocated; m.Histogram && free > 0 {
		bucket := min(bits.Len64(uint64(free))-1, spaceMapBuckets-1)
		le.PutUint64(p[spaceMapHistogramAt+8*bucket:], 1)
	}
	return p
}

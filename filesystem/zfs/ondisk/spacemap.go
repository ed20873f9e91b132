package ondisk

// A space map is a log of what was allocated and freed in a metaslab: words of 64
// bits in units of 1<<ashift bytes (SM_OFFSET_DECODE and so on), and a bonus with
// the sums.
//
//	| debug (1) | offset (47) | free (1) | run - 1 (15) |
const (
	spaceMapRunMax    = 1 << 15
	spaceMapOffsetBit = 16

	// SpaceMapBonus is the size of the bonus of pools without the feature
	// spacemap_histogram (SPACE_MAP_SIZE_V0).
	SpaceMapBonus = 24
)

// SpaceMap returns the log that says that the first units of a metaslab are
// allocated and nothing else is.
func SpaceMap(units int64) []byte {
	p := make([]byte, 0, 8*((units+spaceMapRunMax-1)/spaceMapRunMax))
	for at := int64(0); at < units; {
		run := min(units-at, spaceMapRunMax)
		p = le.AppendUint64(p, uint64(at)<<spaceMapOffsetBit|uint64(run-1))
		at += run
	}
	return p
}

// SpaceMapHeader returns the bonus of a space map (space_map_phys_t): its object
// number, which nothing reads, the length of the log, and how many bytes it says
// are allocated.
func SpaceMapHeader(object uint64, length int, allocated int64) []byte {
	p := make([]byte, 0, SpaceMapBonus)
	p = le.AppendUint64(p, object)
	p = le.AppendUint64(p, uint64(length))
	return le.AppendUint64(p, uint64(allocated))
}

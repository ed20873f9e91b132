package ondisk

import (
	"errors"
	"fmt"
)

// SpaceMapEntry says that units were allocated or freed.
type SpaceMapEntry struct {
	Free       bool
	From, Size uint64 // units
}

// SpaceMapInfo is the bonus of a space map (space_map_phys_t).
type SpaceMapInfo struct {
	Length    int64 // of the log, bytes
	Allocated int64 // what the log says is, bytes
}

// minSpaceMapBonus is the size of the bonus without a histogram.
const minSpaceMapBonus = 24

// DecodeSpaceMapHeader decodes the bonus.
func DecodeSpaceMapHeader(p []byte) (SpaceMapInfo, error) {
	if len(p) < minSpaceMapBonus {
		return SpaceMapInfo{}, fmt.Errorf("a space map with a bonus of %d bytes", len(p))
	}
	i := SpaceMapInfo{Length: int64(le.Uint64(p[8:])), Allocated: int64(le.Uint64(p[16:]))}
	if i.Length < 0 || i.Length%8 != 0 {
		return i, fmt.Errorf("a space map of %d bytes", uint64(i.Length))
	}
	return i, nil
}

// The upper bits of words that are not entries of one word: what happened, for
// people, and the first of two words (sys/space_map.h). A device that is all ones is
// none.
const (
	spaceMapKindAt  = 62
	spaceMapDebug   = 2
	spaceMapLong    = 3
	spaceMapRunAt   = 24
	spaceMapRunMask = 1<<36 - 1
	spaceMapDevices = 1<<spaceMapRunAt - 1
)

// DecodeSpaceMap calls each for the entries in p, a part of the log that begins and
// ends between words. Entries of two words do not cross from one block of the log
// into the next.
func DecodeSpaceMap(p []byte, each func(SpaceMapEntry) error) error {
	for ; len(p) >= 8; p = p[8:] {
		w := le.Uint64(p)
		e := SpaceMapEntry{
			Free: w>>15&1 != 0,
			From: w >> spaceMapOffsetBit & (1<<47 - 1),
			Size: w&(spaceMapRunMax-1) + 1,
		}
		switch w >> spaceMapKindAt {
		case spaceMapDebug:
			continue
		case spaceMapLong:
			if len(p) < 16 {
				return errors.New("an entry of a space map is cut short")
			}
			p = p[8:]
			second := le.Uint64(p)
			if device := w & spaceMapDevices; device != 0 && device != spaceMapDevices {
				return fmt.Errorf("an entry of a space map for device %d", device)
			}
			e = SpaceMapEntry{Free: second>>63 != 0, From: second &^ (1 << 63), Size: w>>spaceMapRunAt&spaceMapRunMask + 1}
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

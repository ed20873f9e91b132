package ondisk

// Time is a moment: seconds since 1970-01-01T00:00:00Z and nanoseconds, 0 to
// 999999999, after those. A tree.Time converts to it.
type Time struct {
	Sec  int64
	Nsec uint32
}

// The range of an inode's times ("Inode Timestamps"). 32 bits of seconds are
// signed; two more, the epoch bits in the extra field, count multiples of 2^32.
const (
	MinTime      int64 = -1 << 31            // 1901-12-13
	MaxTime      int64 = 3<<32 + (1<<31 - 1) // 2446-05-10, with an extra field
	MaxShortTime int64 = 1<<31 - 1           // 2038-01-19, without

	epochBits = 2
	epochMask = 1<<epochBits - 1
)

// Clamp returns the moment nearest to t that an inode can hold; with an extra
// field (inodes of 256 bytes), or without, to 2038 and without nanoseconds.
func (t Time) Clamp(extra bool) Time {
	latest := MaxTime
	if !extra {
		latest, t.Nsec = MaxShortTime, 0
	}
	switch {
	case t.Sec < MinTime:
		return Time{Sec: MinTime}
	case t.Sec > latest:
		return Time{Sec: latest}
	}
	return t
}

// encode returns i_Xtime and i_Xtime_extra.
func (t Time) encode(extra bool) (sec, ext uint32) {
	t = t.Clamp(extra)
	sec = uint32(t.Sec)
	epoch := uint32((t.Sec-int64(int32(sec)))>>32) & epochMask
	return sec, epoch | t.Nsec<<epochBits
}

// decodeTime is the inverse of encode; extra is 0 where there is none.
func decodeTime(sec, extra uint32) Time {
	return Time{
		Sec:  int64(int32(sec)) + int64(extra&epochMask)<<32,
		Nsec: extra >> epochBits,
	}
}

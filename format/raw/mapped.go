package raw

// fillWindow writes a region that has data in all of its blocks through a
// mapping of it: the extents are read to where they belong. If done is false,
// the region is for write(2): it has holes (the kernel fills whole folios of a
// mapping, and they would become blocks), it cannot be mapped, or there is no
// space for it.
func (w *writer) fillWindow(from, to int64) (n int64, done bool, err error) {
	end := from
	for e := range w.m.Extents(from, to) {
		if blockFloor(e.Offset) > end {
			return 0, false, nil
		}
		n, end = n+e.Length, blockCeil(e.End())
	}
	if end < to {
		return 0, false, nil
	}
	window, err := openWindow(w.f, from, to-from)
	if err != nil {
		return 0, false, nil
	}
	defer func() {
		if unmapped := closeWindow(window); unmapped != nil && err == nil {
			err = &writeError{unmapped}
		}
	}()
	return n, true, guard(func() error {
		for e := range w.m.Extents(from, to) {
			if _, err := e.ReadAt(window[e.Offset-from:e.End()-from], 0); err != nil {
				return err
			}
		}
		return nil
	})
}

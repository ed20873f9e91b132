package raw

// fillWindow writes a region that has data in all of its blocks through a
// mapping: the extents are read to where they belong. If done is false,
// the region is for write(2): it has holes (the kernel fills whole folios of a
// mapping, and they would become blocks), or there is no space for it.
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
	window := w.mapping[from:to]
	if openWindow(w.f, window, from) != nil {
		return 0, false, nil
	}
	defer func() {
		if closed := closeWindow(window); closed != nil && err == nil {
			err = &writeError{closed}
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

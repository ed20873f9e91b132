package zfs

import "diskwright/filesystem/zfs/ondisk"

// spooling puts blocks of files into the spool, as many at once as lie one behind the
// other both among the blocks of a job and, each copy, in the pool.
//
//	job    |a1|a2|b1|c1|c2|c3|
//	         \  \  \  \_ \_ \_
//	pool   |a1|a2|b1|meta|c1|c2|c3|
type spooling struct {
	pool     *pool
	blocks   []byte  // of the job
	from, to int     // among them, those that are put there next
	starts   []int64 // addresses of their copies

	// Of each copy, what is in the spool, or will be, and not in the map yet. What
	// is unused behind a block is not in the map.
	spooled [maxCopies]struct{ start, end int64 }
}

// add puts a block into the spool, which is at an offset among those of a job, or
// notes that it belongs there. They must not change until flush is called.
func (s *spooling) add(b *ondisk.BlockPointer, blocks []byte, at int) error {
	size := b.Addresses[0].Size
	for i, a := range b.Addresses {
		if a.Size == 0 {
			continue
		}
		if done := &s.spooled[i]; done.end != a.Offset {
			s.place(i)
			done.start = a.Offset
		}
		s.spooled[i].end = a.Offset + int64(b.PhysicalSize)
	}
	if at == s.to && follows(b, s.starts, int64(s.to-s.from)) {
		s.to += size
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.blocks, s.from, s.to, s.starts = blocks, at, at+size, starts(b, s.starts)
	return nil
}

// spoolError is an error of the spool, not of a file.
type spoolError struct{ error }

func (e spoolError) Unwrap() error { return e.error }

// flush puts into the spool what belongs there. Blocks behind the device, which are
// there to learn by how much it is too small, do not.
func (s *spooling) flush() error {
	blocks := s.blocks[s.from:s.to]
	for _, start := range s.starts {
		if start >= s.pool.usable() {
			continue
		}
		if _, err := s.pool.opts.Spool.WriteAt(blocks, ondisk.DataOffset+start); err != nil {
			return spoolError{err}
		}
	}
	s.blocks, s.from, s.to, s.starts = nil, 0, 0, s.starts[:0]
	return nil
}

// place puts what is in the spool of a copy into the map.
func (s *spooling) place(i int) {
	if done := s.spooled[i]; done.start < done.end {
		off := ondisk.DataOffset + done.start
		s.pool.disk.Place(off, s.pool.opts.Spool.Part(off, done.end-done.start))
	}
}

// finish does what is left to do.
func (s *spooling) finish() error {
	if err := s.flush(); err != nil {
		return err
	}
	for i := range s.spooled {
		s.place(i)
	}
	return nil
}

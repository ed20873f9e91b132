package ext4

import (
	"iter"
	"sort"
)

// space is the blocks that the layout leaves free, addressed by rank: their
// place among all free blocks, counted upwards from 0. The plan hands out
// ranks, so that everything it places is contiguous in rank and jumps over what
// is in the way on disk without anybody looking.
//
//	blocks  |superblock, tables| free  |journal| free |backup|  free ...
//	ranks                       0 .. 99         100 ..        ...
type space struct {
	runs   []run
	ranks  []int64 // of the first block of each run
	blocks int64   // how many there are
}

func newSpace(l *layout) *space {
	s := &space{runs: l.free()}
	s.ranks = make([]int64, len(s.runs))
	for i, r := range s.runs {
		s.ranks[i] = s.blocks
		s.blocks += r.count
	}
	return s
}

// find returns the run that holds rank.
func (s *space) find(rank int64) int {
	return sort.Search(len(s.ranks), func(i int) bool { return s.ranks[i] > rank }) - 1
}

// block returns the block of a rank.
func (s *space) block(rank int64) int64 {
	i := s.find(rank)
	return s.runs[i].start + rank - s.ranks[i]
}

// end returns the block behind all blocks whose rank is below rank: below it
// is nothing free any more.
func (s *space) end(rank int64) int64 {
	if rank == 0 {
		return 0
	}
	return s.block(rank-1) + 1
}

// slice yields the runs of blocks that make up count ranks from rank on.
func (s *space) slice(rank, count int64) iter.Seq[run] {
	return func(yield func(run) bool) {
		if count == 0 {
			return
		}
		for i := s.find(rank); count > 0; i++ {
			skip := rank - s.ranks[i]
			n := min(s.runs[i].count-skip, count)
			if !yield(run{s.runs[i].start + skip, n}) {
				return
			}
			rank += n
			count -= n
		}
	}
}

// within reports whether count ranks from rank on are one run of blocks.
// hint is a run at or below that of rank; the run found is returned as the
// next hint. It is the plan's shortcut for a million small files.
func (s *space) within(hint int, rank, count int64) (int, bool) {
	for hint+1 < len(s.ranks) && s.ranks[hint+1] <= rank {
		hint++
	}
	return hint, rank+count <= s.ranks[hint]+s.runs[hint].count
}

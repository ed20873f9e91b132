package ext4

import (
	"errors"
	"fmt"
)

// Slack is what a file system has free beside the tree. Free inodes are asked
// for by the options' number of inodes.
type Slack struct {
	Percent int   // of all its blocks, 0 to 90
	Bytes   int64 // in addition
}

// blocks returns the slack of a file system of that many blocks.
func (s Slack) blocks(blocks int64) int64 {
	return (blocks*int64(s.Percent)+99)/100 + blocksFor(s.Bytes)
}

// MinSize returns the size in bytes of the smallest file system, of whole
// blocks, that holds the tree and the slack. The size in the options plays no
// role. It is exact: [Plan] accepts that size and none below. Not every larger
// size will do: the journal grows in steps, at 128 MiB for example from 4 to
// 16 MiB.
func MinSize(need Need, opts Options, slack Slack) (int64, error) {
	if err := need.check(opts); err != nil {
		return 0, err
	}
	if slack.Percent < 0 || slack.Percent > 90 || slack.Bytes < 0 {
		return 0, fmt.Errorf("ext4: %d percent and %d bytes are no slack; 0 to 90 percent are", slack.Percent, slack.Bytes)
	}
	return need.minSize(opts, slack, 0)
}

// minSize returns the smallest size in bytes that will do and has at least a
// number of blocks.
func (n *Need) minSize(opts Options, slack Slack, least int64) (int64, error) {
	s := sizing{need: n, opts: opts, slack: slack}
	for blocks := max(s.floor(), least); ; {
		t, err := s.try(blocks)
		if err != nil {
			return 0, err
		}
		if t.fits {
			return blocks * blockSize, nil
		}
		blocks = t.next
	}
}

// check checks that the tree was measured for a file system of the options.
func (n *Need) check(opts Options) error {
	if n.census == nil || n.opts != opts.ofTree() {
		return errors.New("ext4: the tree was measured for another file system")
	}
	return nil
}

// layout returns the layout for the options, with the inodes that the tree
// needs.
func (n *Need) layout(opts Options) (*layout, error) {
	opts.Inodes = max(opts.Inodes, n.Inodes)
	geo, err := NewGeometry(&opts)
	if err != nil {
		return nil, err
	}
	return newLayout(&opts, geo)
}

// sizing is the search for the smallest size. It tries sizes upwards, and
// leaps over those that cannot do. What a file system spends on itself grows with
// its size, with exceptions that each bound a leap:
//
//   - at some sizes the ratio of inodes to blocks changes;
//   - the last group is left out until it is worth its overhead;
//   - where inodes are many, groups shrink until the inodes fit.
type sizing struct {
	need  *Need
	opts  Options
	slack Slack
	fails int // sizes in a row without any geometry
}

// trial is the result for one size: it fits, or no size below next does.
type trial struct {
	fits bool
	next int64
}

// sizesWithoutGeometry is how many sizes in a row may be impossible for
// whatever reason before that is taken for an answer.
const sizesWithoutGeometry = 1 << 20

// floor returns a number of blocks below which nothing fits.
func (s *sizing) floor() int64 {
	inodes := max(s.opts.Inodes, s.need.Inodes)
	return s.demand(0) + inodes/inodesPerBlock
}

// demand returns what the tree and the slack need of a file system that has
// at least that many blocks.
func (s *sizing) demand(blocks int64) int64 {
	return s.need.Blocks + s.slack.blocks(blocks)
}

// try tries a size.
func (s *sizing) try(blocks int64) (trial, error) {
	s.opts.Size = blocks * blockSize
	l, err := s.need.layout(s.opts)
	if err != nil {
		if s.fails++; s.fails > sizesWithoutGeometry {
			return trial{}, err
		}
		return trial{next: blocks + 1}, nil
	}
	s.fails = 0
	if s.fit(l) {
		return trial{fits: true}, nil
	}
	return trial{next: blocks + max(s.leap(l, blocks), 1)}, nil
}

// fit reports whether tree and slack fit the layout. Only where it is close
// does the sweep have to find out.
func (s *sizing) fit(l *layout) bool {
	slack := s.slack.blocks(l.Blocks)
	if l.freeBlocks() < s.need.Blocks+slack {
		return false
	}
	sweep := sweep{census: s.need.census, space: newSpace(l)}
	return sweep.run(func(uint32, body, int64) {}) && sweep.end+slack <= sweep.space.blocks
}

// ratioChanges are the sizes in blocks from which on there are fewer inodes for
// the same number of blocks: see inodeRatio.
var ratioChanges = [...]int64{512 << 20 / blockSize, 4 << 40 / blockSize, 16 << 40 / blockSize}

// leap returns how far the next size is that may do.
func (s *sizing) leap(l *layout, blocks int64) int64 {
	if blocks > l.Blocks {
		return s.beyondLost(l, blocks) - blocks
	}
	leap := s.demand(blocks-maxLost) + s.overhead(l) - blocks
	if l.BlocksPerGroup == bitsPerBlock {
		// Within a group, everything grows.
		missing := s.demand(l.Blocks) - l.freeBlocks()
		leap = max(leap, min(missing, l.Groups*bitsPerBlock+1-blocks))
	}
	for _, change := range ratioChanges {
		if blocks < change {
			leap = min(leap, change-blocks)
		}
	}
	return leap
}

// maxLost is more than the blocks at the end that a file system leaves unused:
// the overhead of a group, and lastGroupSlack.
const maxLost = bitsPerBlock/inodesPerBlock + 2*maxReservedGDT

// overhead returns how many blocks every file system of the size of l or a
// larger one spends on itself at least, up to the next change of the ratio:
// inodes, bitmaps, descriptors with room to grow in every copy, the journal.
func (s *sizing) overhead(l *layout) int64 {
	inodes := max(min(l.Blocks*blockSize/inodeRatio(l.Blocks), max32), s.opts.Inodes, s.need.Inodes)
	least := Geometry{Groups: max(ceilDiv(inodes, bitsPerBlock), (l.Blocks-maxLost)/bitsPerBlock)}
	n := inodes/inodesPerBlock + 2*least.Groups + l.JournalBlocks + l.OrphanBlocks
	if l.hasResizeInode() {
		growable := min((least.Groups-1)*growth, max32/bitsPerBlock)
		n += int64(1+len(least.backups())) * (1 + min(growable*l.DescSize/blockSize, maxReservedGDT))
	}
	return n
}

// beyondLost returns the first size that uses another number of blocks than l,
// which leaves some unused for lack of a worthwhile last group.
func (s *sizing) beyondLost(l *layout, blocks int64) int64 {
	for {
		blocks++
		opts := l.opts
		opts.Size = blocks * blockSize
		if geo, err := NewGeometry(&opts); err != nil || geo.Blocks != l.Blocks {
			return blocks
		}
	}
}

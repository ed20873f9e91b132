package builder

// The automatic size of the disk, as make-disk-image.nix computes it
// (partition-goldens, section 1), all in integers.
const (
	mebibyte = 1 << 20

	// sizeBlock is what the formula counts content in.
	sizeBlock = 4096
	// blocksPerEntry is what every name costs in blocks.
	blocksPerEntry = 2
	// fudgePerMille stands for ext4's reserved blocks and metadata.
	fudgePerMille = 52

	// The least that an automatic size leaves free in the root file system.
	freePercent = 10
	freeInodes  = 4096
)

// AutoSize says how the size of the disk came about. All numbers are bytes.
type AutoSize struct {
	ContentBytes    int64 `json:"contentBytes"`    // files in blocks of 4 KiB, and two blocks a name
	FudgeBytes      int64 `json:"fudgeBytes"`      // 5.2 % of it
	FileSystemBytes int64 `json:"fileSystemBytes"` // the sum, rounded
	AdditionalBytes int64 `json:"additionalBytes"` // additionalSpace
	ReservedBytes   int64 `json:"reservedBytes"`   // partition table and boot partitions
	FormulaBytes    int64 `json:"formulaBytes"`    // the disk by the reference's formula
	Raised          bool  `json:"raised"`          // the formula's disk could not hold the content

	// Additions are the parts of ContentBytes that are not the user's files.
	Additions []Addition `json:"additions,omitempty"`
}

// Addition is something that an image has and that nobody gave as a file.
type Addition struct {
	What  string `json:"what"`
	Bytes int64  `json:"bytes"` // as the formula counts it
}

// contentBytes returns what the formula makes of blocks and entries.
func contentBytes(blocks, entries int64) int64 { return (blocks + blocksPerEntry*entries) * sizeBlock }

// autoSize computes the disk's size by the reference's formula. Blocks and
// entries are what tree.Usage counts. The older reference rounds only what is
// not a whole MiB already, and the file system not at all.
func autoSize(blocks, entries, additional, reserved int64, older bool) AutoSize {
	a := AutoSize{AdditionalBytes: additional, ReservedBytes: reserved}
	a.ContentBytes = contentBytes(blocks, entries)
	a.FudgeBytes = a.ContentBytes * fudgePerMille / 1000
	a.FileSystemBytes = a.ContentBytes + a.FudgeBytes
	if !older {
		a.FileSystemBytes = roundPast(a.FileSystemBytes, sizeBlock)
	}
	sum := a.FileSystemBytes + additional + reserved
	if older {
		a.FormulaBytes = roundUp(sum, mebibyte)
	} else {
		a.FormulaBytes = roundPast(sum, mebibyte)
	}
	return a
}

// roundPast returns the first multiple of unit above n: what the reference
// calls round_to_nearest.
func roundPast(n, unit int64) int64 { return (n/unit + 1) * unit }

// roundUp returns the first multiple of unit that is not below n.
func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

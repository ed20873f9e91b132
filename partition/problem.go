package partition

import "fmt"

// Problem is something wrong with a table that was read.
type Problem struct {
	Kind   ProblemKind `json:"kind"`
	Detail string      `json:"detail"` // for humans
}

func (p Problem) String() string { return p.Detail }

// ProblemKind classifies problems, for programs.
type ProblemKind string

const (
	// BadProtectiveMBR: a GPT without the MBR that protects it. Kernel and
	// firmware do not see such a GPT.
	BadProtectiveMBR ProblemKind = "protective-mbr"
	// StaleGPT: a GPT that is left from former times, below an MBR with
	// partitions of its own, or below a file system.
	StaleGPT ProblemKind = "stale-gpt"
	// HybridMBR: an MBR that repeats partitions of the GPT.
	HybridMBR ProblemKind = "hybrid-mbr"
	// BadPrimary and BadBackup: a header or entries that are damaged.
	BadPrimary ProblemKind = "primary-gpt"
	BadBackup  ProblemKind = "backup-gpt"
	// BackupNotAtEnd: a disk that has grown or was cut since it was partitioned.
	BackupNotAtEnd ProblemKind = "backup-not-at-end"
	// CopiesDiffer: two intact copies of a GPT that do not say the same.
	CopiesDiffer ProblemKind = "copies-differ"
	// BadEntry: an entry that makes no sense.
	BadEntry ProblemKind = "bad-entry"
	// OutOfBounds: a partition outside of the disk, or of what a GPT may use.
	OutOfBounds ProblemKind = "out-of-bounds"
	// Overlap: partitions that share sectors.
	Overlap ProblemKind = "overlap"
	// BadChain: logical partitions that lead nowhere, or in a circle.
	BadChain ProblemKind = "bad-chain"
	// TooMany: more problems than are listed.
	TooMany ProblemKind = "too-many"
)

// maxProblems bounds the list: a hostile table of thousands of entries has as
// many problems.
const maxProblems = 100

func (t *Table) report(kind ProblemKind, format string, args ...any) {
	switch n := len(t.Problems); {
	case n < maxProblems:
		t.Problems = append(t.Problems, Problem{kind, fmt.Sprintf(format, args...)})
	case n == maxProblems:
		t.Problems = append(t.Problems, Problem{TooMany, "there are more problems"})
	}
}

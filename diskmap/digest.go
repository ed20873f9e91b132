package diskmap

import (
	"context"
	"crypto/sha256"
	"hash"
)

// zeroStep is the piece in which holes are hashed: small enough to stay in
// the processor's cache.
const zeroStep = 64 << 10

// Digest writes the whole map, holes included, to h. Workers read ahead as in
// [Map.Chunks]. Progress may be nil; it is called with the number of bytes
// that were hashed since its last call.
func (m *Map) Digest(ctx context.Context, h hash.Hash, workers int, progress func(n int64)) error {
	var zeros []byte
	for c, err := range m.Chunks(ctx, DefaultChunk, workers) {
		if err != nil {
			return err
		}
		// A hole may be as long as the disk: it is hashed in steps.
		for done := int64(0); done < c.Length; {
			data := c.Data
			if c.IsHole() {
				if zeros == nil {
					zeros = make([]byte, zeroStep)
				}
				data = zeros[:min(int64(len(zeros)), c.Length-done)]
				if err := context.Cause(ctx); err != nil {
					return err
				}
			}
			h.Write(data) // a hash.Hash never fails
			done += int64(len(data))
			if progress != nil {
				progress(int64(len(data)))
			}
		}
	}
	return nil
}

// SHA256 returns the digest of the whole map as it would be on a disk: the
// SHA-256 of the raw image. Parameters are those of [Map.Digest].
func (m *Map) SHA256(ctx context.Context, workers int, progress func(n int64)) ([sha256.Size]byte, error) {
	h := sha256.New()
	if err := m.Digest(ctx, h, workers, progress); err != nil {
		return [sha256.Size]byte{}, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

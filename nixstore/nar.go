package nixstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"

	"diskwright/content"
	"diskwright/tree"
)

// HashTree returns the SHA-256 and the size in bytes of the NAR of i and all
// below it. Of metadata it has whether a file is executable by its owner, and
// no more.
func HashTree(ctx context.Context, i *tree.Inode) (Hash, int64, error) {
	return hashTree(ctx, i, nil)
}

// HashPath returns the SHA-256 and the size in bytes of the NAR of the file or
// directory at path of the host, as nix hash path does.
func HashPath(ctx context.Context, path string) (Hash, int64, error) {
	i, err := new(objects).read(ctx, path)
	if err != nil {
		return Hash{}, 0, err
	}
	return HashTree(ctx, i)
}

// hashTree is HashTree that tells done how many bytes more have been hashed.
func hashTree(ctx context.Context, i *tree.Inode, done func(n int64)) (Hash, int64, error) {
	w := nars.Get().(*nar)
	defer nars.Put(w)
	*w = nar{ctx: ctx, done: done, hash: w.hash, buf: w.buf[:0]}
	w.hash.Reset()
	w.string("nix-archive-1")
	if err := w.node(i); err != nil {
		return Hash{}, 0, err
	}
	w.flush()
	return Hash(w.hash.Sum(nil)), w.size, nil
}

// nar makes a NAR, piece by piece, to hash it. What Nix writes is a sequence of
// strings, each with its length in 8 bytes in front and padded with zeros to a
// multiple of 8 bytes; for the grammar see node.
type nar struct {
	ctx  context.Context
	hash hash.Hash
	buf  []byte // not hashed yet; never grows
	size int64  // hashed
	done func(n int64)
}

const (
	// narBuffer is how much is read and hashed at a time.
	narBuffer = 256 << 10

	narAlign = 8
)

// nars are idle, with their buffers.
var nars = sync.Pool{New: func() any {
	return &nar{hash: sha256.New(), buf: make([]byte, 0, narBuffer)}
}}

// node writes:
//
//	( type regular [executable ""] contents BYTES )
//	( type symlink target TARGET )
//	( type directory { entry ( name NAME node NODE ) } )
func (w *nar) node(i *tree.Inode) error {
	switch i.Type() {
	case tree.TypeRegular:
		w.string("(", "type", "regular")
		if i.Mode&ownerExecutes != 0 {
			w.string("executable", "")
		}
		w.string("contents")
		if err := w.contents(i); err != nil {
			return err
		}
	case tree.TypeSymlink:
		w.string("(", "type", "symlink", "target", i.Target())
	case tree.TypeDir:
		w.string("(", "type", "directory")
		for _, e := range i.Entries {
			w.string("entry", "(", "name", e.Name, "node")
			if err := w.node(e.Inode); err != nil {
				return err
			}
			w.string(")")
		}
	default:
		return fmt.Errorf("a NAR cannot have a file of mode %#o", i.Mode)
	}
	w.string(")")
	return nil
}

// string writes strings.
func (w *nar) string(list ...string) {
	for _, s := range list {
		w.number(uint64(len(s)))
		for len(s) > 0 {
			n := copy(w.room(int64(len(s))), s)
			w.buf, s = w.buf[:len(w.buf)+n], s[n:]
		}
		w.pad()
	}
}

// contents writes the content of a file.
func (w *nar) contents(i *tree.Inode) error {
	size := i.Size()
	w.number(uint64(size))
	if size == 0 {
		return nil
	}
	read, closed, err := reader(i.Content, size)
	if err != nil {
		return err
	}
	for off := int64(0); off < size && err == nil; {
		if err = w.ctx.Err(); err != nil {
			break
		}
		p := w.room(size - off)
		err = read(p, off)
		w.buf = w.buf[:len(w.buf)+len(p)]
		off += int64(len(p))
	}
	if changed := closed(); changed != nil {
		return changed // also the cause of err, if there is one
	}
	w.pad()
	return err
}

// reader returns how to read src. A file of the host that needs several reads
// is opened once. closed must be called at the end.
func reader(src content.Source, size int64) (read func(p []byte, off int64) error, closed func() error, err error) {
	backed, ok := src.(content.Backed)
	if !ok || size <= narBuffer/2 {
		read = func(p []byte, off int64) error { return content.ReadFull(src, p, off) }
		return read, func() error { return nil }, nil
	}
	b, err := backed.Borrow()
	if err != nil {
		return nil, nil, err
	}
	read = func(p []byte, off int64) error {
		if err := content.ReadFull(b.File, p, b.Offset+off); err != nil {
			return fmt.Errorf("%q: %w", b.File.Name(), withoutPath(err))
		}
		return nil
	}
	return read, b.Return, nil
}

func (w *nar) number(n uint64) {
	if cap(w.buf)-len(w.buf) < 8 {
		w.flush()
	}
	w.buf = binary.LittleEndian.AppendUint64(w.buf, n)
}

// pad fills up to a multiple of 8 bytes. The buffer always begins at one: it is
// flushed when it is full, which is one, or between strings.
func (w *nar) pad() {
	for len(w.buf)%narAlign != 0 {
		w.buf = append(w.buf, 0)
	}
}

// room returns free memory of the buffer for n bytes, or for the first of them
// if they are many. All of it must be filled.
func (w *nar) room(n int64) []byte {
	if free := cap(w.buf) - len(w.buf); int64(free) < min(n, narBuffer/2) {
		w.flush()
	}
	end := min(int64(cap(w.buf)), int64(len(w.buf))+n)
	return w.buf[len(w.buf):end]
}

// flush hashes what is in the buffer.
func (w *nar) flush() {
	w.hash.Write(w.buf)
	w.size += int64(len(w.buf))
	if w.done != nil {
		w.done(int64(len(w.buf)))
	}
	w.buf = w.buf[:0]
}

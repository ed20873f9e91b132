package raw

import (
	"os"

	"golang.org/x/sys/unix"
)

// wayTo returns how dst is written (measured: docs/benchmarks.md).
//
// ext4: write(2) holds a lock of the file while it finds memory and copies, so
// that a second worker waits for the first; the pages of a mapping are found by
// both at once, and what is read into them is not copied again. There, and on
// tmpfs, which gains nothing from a mapping, the kernel's own copy takes longer
// than reading and writing larger pieces.
//
// XFS, btrfs and others share blocks, and network file systems leave the
// copying to the server.
func wayTo(dst *os.File) way {
	var st unix.Statfs_t
	if unix.Fstatfs(int(dst.Fd()), &st) != nil {
		return writing
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC:
		return mapping
	case unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.OCFS2_SUPER_MAGIC, bcachefsMagic, zfsMagic,
		unix.NFS_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return sharing
	}
	return writing
}

// Magic numbers of file systems that x/sys/unix does not name.
const (
	bcachefsMagic = 0xca451a4e
	zfsMagic      = 0x2fc12fc1
)

// kernelCopy has the kernel copy n bytes from src to dst and returns how many
// it did copy; the caller does the rest. An error is one of writing.
//
// copy_file_range(2) shares blocks where it can (offsets must be aligned to
// them) before it copies pages: there is nothing to gain from FICLONERANGE in
// front of it.
func kernelCopy(dst *os.File, to int64, src *os.File, from, n int64) (int64, error) {
	out, in := int(dst.Fd()), int(src.Fd())
	done := int64(0)
	for done < n {
		r, w := from+done, to+done
		c, err := unix.CopyFileRange(in, &r, out, &w, int(n-done), 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ENOSPC || err == unix.EDQUOT || err == unix.EFBIG:
			return done, err
		case err != nil || c <= 0:
			// Another file system on Linux before 5.3 (EXDEV), one that
			// cannot (EINVAL, EOPNOTSUPP), a sandbox that forbids it (ENOSYS,
			// EPERM), the end of the file, or an error that reading or
			// writing meets again and can attribute.
			return done, nil
		}
		done += int64(c)
	}
	return done, nil
}

package raw

import (
	"os"

	"golang.org/x/sys/unix"
)

// shares reports whether the kernel should copy what goes to dst. XFS, btrfs
// and others share blocks, and network file systems leave the copying to the
// server. ext4 and tmpfs copy as a pipe would, 64 KiB at a time, which takes
// longer than reading and writing larger pieces (docs/benchmarks.md).
func shares(dst *os.File) bool {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dst.Fd()), &st); err != nil {
		return false
	}
	return st.Type != unix.EXT4_SUPER_MAGIC && st.Type != unix.TMPFS_MAGIC
}

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

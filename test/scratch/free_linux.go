package scratch

import "golang.org/x/sys/unix"

// free returns how many bytes may be written to dir, if that is in memory.
func free(dir string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		return 0
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return min(int64(st.Bavail)*int64(st.Bsize), int64(info.Totalram)/2*int64(info.Unit))
}

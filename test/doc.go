// Package test holds the tests that span packages. They run the program as a
// user does, by its command line, and have what it makes judged by programs
// that nobody here wrote (package test/oracle):
//
//   - layout_test.go: each of the seven layouts, from a nasty tree, before
//     sgdisk, sfdisk, parted, e2fsck, fsck.vfat, mtools and the kernel;
//   - mutate_test.go, grow_test.go: a kernel that writes into it and fills it,
//     resize2fs;
//   - tar_test.go: tars of GNU tar give the bytes that their directory gives;
//   - determinism_test.go: whatever differs in the host, the bytes do not;
//   - robustness_test.go, refusal_test.go: full disks, signals, files that
//     change under our hands, trees that cannot be stored;
//   - debian_test.go: the example of a Debian starts to a login prompt;
//   - zfs*_test.go: pools for zdb, for GRUB, and, where there is a rig of package
//     test/zfsrig, for the kernel modules of two versions of OpenZFS;
//   - size_test.go: automatic sizes, against the reference's own shell commands;
//   - layering_test.go: which package may import which.
//
// Package test/fixture has NixOS-shaped systems that real Nix builds, package
// test/boot the machines that start images.
//
// DISKWRIGHT_LONG=1 adds the long ones (make test-long).
package test

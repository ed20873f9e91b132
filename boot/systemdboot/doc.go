// Package systemdboot installs systemd-boot as NixOS's builder does, or with a
// menu of its own for any other system.
//
// # What ends up on disk
//
//	ESP                                   $BOOT: the ESP, or XBOOTLDR
//	├── EFI/BOOT/BOOTX64.EFI              ├── EFI/Linux/          empty
//	├── EFI/systemd/systemd-bootx64.efi   ├── EFI/nixos/          kernels, initrds, device trees
//	└── loader/                           │   └── .extra-files/   which files are extra
//	    ├── keys/        empty            ├── loader/
//	    └── loader.conf                   │   ├── entries.srel
//	                                      │   └── entries/*.conf
//	                                      └── …                   extra files
//
// Firmware starts EFI/systemd/systemd-bootx64.efi if a boot entry says so, else
// EFI/BOOT/BOOTX64.EFI, the same file. The loader shows entries of both
// partitions; what entries name lies on the partition that they are on.
//
// # Names
//
// Until NixOS 25.11 entries are named after the generation, and after the
// SHA-256 of their text since (see [boot.Builder2405] and its neighbours).
//
// # What is left out
//
// The random seed that bootctl makes would be the same in all copies of the
// image, which is worse than none; the loader does without.
package systemdboot

// Package boot is what boot loaders have in common: what they need to know of a
// system and of the disk that it is on, and what they add to both.
//
// # Vocabulary
//
// A loader is a program that firmware starts and that starts a kernel.
// Installing one is a pure function here: it takes a Request and returns an
// Installation; nothing is written, and no disk is needed.
//
//	Request                          Installation
//	├── Settings  what is asked for  ├── Files     of the root tree
//	├── Files     the root tree      ├── Remove    from the root tree
//	├── System    NixOS: its         ├── BootCode  into sector 0
//	│             generations        ├── Embed     bytes between partitions,
//	└── Disk      partitions, UUIDs  │             or in the BIOS boot partition
//	                                 └── EFIEntry  for the firmware's variables
//
// The files are put into the root tree before it is split into file systems
// ([Installation.Apply]), so that boot partitions get theirs; whatever menus say
// of file systems and partitions (UUIDs, volume ids, offsets) is therefore
// known before.
//
// A generation of a NixOS profile is a link /nix/var/nix/profiles/system-N-link
// to a toplevel, the store object of a whole system. A specialisation is a
// variant of a system with a toplevel of its own. Both are described by
// bootspec documents (RFC 0125), the file boot.json of a toplevel.
//
// The ESP is the EFI system partition, a FAT that firmware reads. XBOOTLDR is a
// second FAT for kernels and menus, where the ESP is too small for them. The
// package calls $BOOT whichever of the two has the kernels.
//
// Paths are absolute, of the running system, and bytes; symbolic links are
// followed as the running system would. Times in menus are those of the
// build's epoch, in UTC.
//
// # Packages
//
// The loaders are the packages below this one. They import this one and those
// below it in the house, never package nixos.
package boot

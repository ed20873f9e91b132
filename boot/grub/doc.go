// Package grub installs GRUB 2 into an image: what NixOS's install-grub.pl
// and, below it, grub-install and grub-bios-setup leave on a disk, as data.
//
//	sector 0    boot sector │ partition table       boot.img, patched (embed.go)
//	gap         core image, redundancy              MBR: sector 1 on
//	BIOS boot   core image, redundancy              GPT: the partition's start
//	ESP         EFI/BOOT/BOOTX64.EFI                or EFI/NixOS-boot/grubx64.efi
//	/boot/
//	├── grub/
//	│   ├── grub.cfg                                the menu (menu.go)
//	│   ├── state                                   what was installed (state.go)
//	│   ├── grubenv, fonts/, locale/, themes/
//	│   ├── i386-pc/                                modules, boot.img, core.img (modules.go)
//	│   └── x86_64-efi/                             modules, core.efi, grub.efi
//	├── converted-font.pf2, background.png, theme/  how it looks (look.go)
//	└── kernels/                                    where the menu cannot reach the store
//
// # Vocabulary
//
// A platform, or target, is what a GRUB was built for: i386-pc is the BIOS of
// PCs, x86_64-efi UEFI. A package is a directory with platforms in lib/grub and
// what is common to them in share.
//
// The core image is what finds the directory grub, its prefix: a kernel, and
// the modules for one kind of partition table and one of file system. All else
// is loaded from the prefix. Firmware starts it as a program on the ESP; a
// BIOS starts the boot sector, which loads the core image's first sector, which
// loads the rest.
//
// A drive is a variable of the menu with the file system that a search has
// found: drive1 has /boot, drive2 the store.
//
// # What runs
//
// The core image is made by grub-mkimage, which needs no rights, with the
// modules of the image's own GRUB; it is the only program that runs. It is the
// build machine's, never one of the image, unless the settings say so.
//
// # What differs from the reference
//
// Where install-grub.pl has a defect this does what was meant; docs/boot-grub.md
// lists these. Where it would run what cannot be run here, settings are refused.
//
// The formats are described in GRUB's manual and in grub-core/boot/i386/pc of
// its sources; every byte was compared with what Debian's grub-install writes
// (test/grub_test.go).
package grub

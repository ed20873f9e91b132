// Package limine installs the boot loader Limine, as NixOS's module
// boot.loader.limine does.
//
//	ESP, or /boot for BIOS          (a FAT: Limine reads nothing else)
//	├── efi/boot/BOOTX64.EFI        efi/limine/BOOTX64.EFI with EFI variables
//	└── limine/
//	    ├── limine.conf             the menu
//	    ├── limine-bios.sys         BIOS: stage 3
//	    ├── kernels/HASH-NAME-FILE  kernels and initial ramdisks
//	    ├── wallpapers/DIR-FILE
//	    └── xen/                    what Xen's own loader reads, by generation
//
// # Vocabulary
//
// The menu's paths carry BLAKE2b hashes, with which Limine checks what it loads.
// Enrolling puts the hash of the menu itself into the EFI program.
//
// For BIOS there is a boot image: a boot sector, and stage 2, which is compressed
// behind its own decompressor and written in two halves. The boot sector has
// their places. Stage 3 is a file.
//
//	MBR              │boot sector│half a│half b│ gap … │ partitions
//	GPT, BIOS boot   │boot sector│GPT│ … │half a│half b│ … │   in the partition
//	GPT without one  │boot sector│GPT│half a│half b│ gap … │ partitions
//
// # What is left out
//
// Signing for Secure Boot, and secrets of initial ramdisks, need files of the
// machine that is to start: systems that ask for them are refused.
package limine

// Package partition plans, writes and reads partition tables: MBR and GPT.
//
// # Vocabulary
//
// A disk of L sectors of 512 bytes has sectors 0 to L-1. The MBR (master boot
// record) is sector 0: boot code, a disk signature and four entries. The GPT
// (GUID partition table; UEFI specification, chapter 5) has a header in
// sector 1, its entries behind it, and a copy of both at the disk's end; a
// protective MBR in sector 0 keeps programs that only know the MBR away.
//
//	     0  MBR, or the protective MBR
//	     1  GPT: header
//	 2..33  GPT: 128 entries of 128 bytes, of which the first four fill sector 2
//	34..    partitions
//	  L-33  GPT: the entries again
//	   L-1  GPT: backup header
//
// # Layouts
//
// A [Layout] says which partitions a disk has. The offsets are in MiB; boot is
// the parameter bootSize, rounded (see [RoundBootSize]).
//
//	none         |root ......................................|
//	legacy       |MBR 1|root ................................|
//	legacy+boot  |MBR 1|BOOT ....... boot|root ..............|
//	legacy+gpt   |GPT 1|BIOS boot 2|root ..............|1 GPT|
//	efi          |GPT       8|ESP ....... boot|root ...|1 GPT|
//	efixbootldr  |GPT       8|ESP 100|BOOT boot|root ..|1 GPT|
//	hybrid       |GPT|BIOS  8|ESP ....... boot|root ...|1 GPT|
//
// (Those of the ZFS image builders are in zfs.go.)
//
// They are those of NixOS's make-disk-image.nix, which lets parted and sgdisk
// write them; [Plan] gives the same bytes without either, quirks included. Each
// quirk is named where it is made: the rounding of the boot size (size.go), how
// parted reads a location and snaps it (bounds.go, older.go), the GUIDs that
// sgdisk really writes (identity.go), libparted's boot code and cylinders
// (mbr.go). What the tools fail on is refused before anything is written.
//
// # Writing and reading
//
// [Table.Map] places the tables and the partitions' content on a disk map. [Read]
// takes the table of a disk of unknown origin; what is wrong with it is
// listed in [Table.Problems], and reading goes on where it can.
package partition

// Package guest is what this program does when it is /init of a virtual machine
// that package vm/host has started: it has the system on the disk install its own
// boot loader, with the steps of the reference's make-disk-image.nix in their
// order, tells the host about each (package vm/protocol), and powers off.
//
//	/modules/order           the modules to load, a name a line
//	/modules/NAME.ko
//	/dev/vda                 the disk; /dev/sda and /dev/xvda lead there, too
//	/mnt                     the system's root directory
//	/mnt/{dev,sys,proc,run}  not on the disk
//
// Each command runs as nixos-enter has it: after the system's activation script
// and systemd-tmpfiles, whose failures are told but end nothing. Nothing that is
// started survives its command, and nothing below /run reaches the disk.
//
// It needs Linux. Elsewhere there is only [Running], which says no.
package guest

// Places in the initial file system.
const (
	Init    = "/init"
	Modules = "/modules"
	Order   = Modules + "/order"
)

// System is the profile of the system, in the system.
const System = "/nix/var/nix/profiles/system"

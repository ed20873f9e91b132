# A disk image of a NixOS system on ZFS, made by Diskwright: takes the place of
# nixos/lib/make-single-disk-zfs-image.nix of nixpkgs. Its arguments are those of
# make-multi-disk-zfs-image.nix.
#
#   $out/nixos.root.EXT    a disk with a FAT file system for /boot, and the pool in
#                          the partition behind it
#
# Such a pool does not grow by itself: whoever makes the disk larger has to make the
# partition larger, too (services.zfs.expandOnBoot does).
args: import ./make-multi-disk-zfs-image.nix ({ disks = 1; } // args)

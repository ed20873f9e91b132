# Disk images of a NixOS system on ZFS, made by Diskwright: takes the place of
# nixos/lib/make-multi-disk-zfs-image.nix of nixpkgs, with the same arguments,
# defaults and outputs, in a plain derivation: no virtual machine, no kernel with
# ZFS.
#
#   $out/nixos.boot.EXT    a disk with a FAT file system, for /boot
#   $out/nixos.root.EXT    a disk that is the pool's, so that it can grow by itself
#
# make-single-disk-zfs-image.nix makes one disk of both. docs/zfs.md is the manual.
{
  lib,
  pkgs,

  # The system.
  config,

  # MiB: the boot disk and the root disk; or where the FAT of a single disk
  # ends, and what the pool has behind it.
  bootSize ? 1024,
  rootSize ? 2048,

  # The pool: its name, its properties, and those that all its file systems
  # inherit.
  rootPoolName ? "tank",
  rootPoolProperties ? {
    autoexpand = "on";
  },
  rootPoolFilesystemProperties ? {
    acltype = "posixacl";
    atime = "off";
    compression = "on";
    mountpoint = "legacy";
    xattr = "sa";
  },

  # Its datasets by name, each with, optionally, mount (a path) and properties.
  # One has to be for /.
  datasets ? { },

  # What else goes into the file systems: a list of { source, target } with,
  # optionally, mode, user and group. The original takes it and ignores it.
  contents ? [ ],

  # What /etc/nixos/configuration.nix has beside the file systems.
  configFile ? null,

  # Shell code for when the images are complete. It finds them in $bootDiskImage
  # and $rootDiskImage, the output directory in $out.
  postVM ? "",

  # Without effect: there is no virtual machine.
  memSize ? 1024,

  name ? "nixos-disk-image",
  format ? "raw",

  # Whether the image gets nixpkgs as the channel of root.
  includeChannel ? true,

  # Of our own. One disk or two,
  disks ? 2,

  # the program, for the machine that builds,
  diskwright ? import ./diskwright.nix { inherit pkgs lib; },

  # and more of its parameters (docs/parameters.md), such as features =
  # "openzfs-2.1". They replace what the arguments above say.
  parameters ? { },
}:
let
  image = import ./image.nix { inherit config lib pkgs; };

  # As the original's shell sees them: ashift may be a number.
  properties = builtins.mapAttrs (_: toString);

  specification =
    image.specify {
      copyChannel = includeChannel;
      installBootLoader = parameters.installBootLoader or true;
      inherit configFile contents;
    }
    // {
      builder = "zfs";
      rootPoolProperties = properties rootPoolProperties;
      rootPoolFilesystemProperties = properties rootPoolFilesystemProperties;
      datasets = builtins.mapAttrs (_: dataset: {
        mount = dataset.mount or null;
        properties = properties (dataset.properties or { });
      }) datasets;
      inherit
        bootSize
        disks
        format
        includeChannel
        rootPoolName
        rootSize
        ;
    }
    // parameters;
in
image.build {
  inherit
    diskwright
    name
    postVM
    specification
    ;
  # The suffix follows from the format and how the files are compressed.
  variables =
    let
      baseName = lib.escapeShellArg (specification.baseName or "nixos");
    in
    lib.optionalString (specification.disks == 2) ''
      bootDiskImage=$(echo "$out"/${baseName}.boot.*)
    ''
    + ''
      rootDiskImage=$(echo "$out"/${baseName}.root.*)
    '';
}

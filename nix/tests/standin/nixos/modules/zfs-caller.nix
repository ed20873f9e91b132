# Makes images as nixpkgs' amazon-image.nix (of two disks) and openstack-image-zfs.nix
# (of one) do with ZFS.
{
  builder, # of ../lib
  config,
  lib,
  pkgs,
}:
import (../lib + "/${builder}.nix") {
  inherit config lib pkgs;
  name = "zfs";
  contents = [ ];
  configFile = pkgs.writeText "configuration.nix" "{ }\n";
  includeChannel = true;
  bootSize = 48;
  rootSize = 512;
  memSize = 3072;
  rootPoolProperties = {
    ashift = 12;
    autoexpand = "on";
  };
  datasets = {
    "tank/system/root".mount = "/";
    "tank/system/var".mount = "/var";
    "tank/local/nix".mount = "/nix";
    "tank/user/home".mount = "/home";
  };
  format = "qcow2";
  postVM = ''
    extension=''${rootDiskImage##*.}
    friendlyName=$out/nixos-zfs
    mv "$rootDiskImage" "$friendlyName.root.$extension"
    test -z "$bootDiskImage" || mv "$bootDiskImage" "$friendlyName.boot.$extension"
    mkdir -p $out/nix-support
    echo "file qcow2 $friendlyName.root.$extension" >> $out/nix-support/hydra-build-products
  '';
}

# As make-disk-image.nix beside it.
{ name ? "nixos-disk-image", pkgs, ... }:
pkgs.runCommand name { requiredSystemFeatures = [ "kvm" ]; } "this needs a virtual machine"

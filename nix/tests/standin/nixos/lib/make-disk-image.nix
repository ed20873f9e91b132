# The one that Diskwright's takes the place of: it needs a virtual machine, which
# there is none of.
{ name ? "nixos-disk-image", pkgs, ... }:
pkgs.runCommand name { requiredSystemFeatures = [ "kvm" ]; } "this needs a virtual machine"

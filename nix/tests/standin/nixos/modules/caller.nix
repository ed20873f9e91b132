# Makes an image as modules of nixpkgs do.
{
  config,
  lib,
  pkgs,
}:
import ../lib/make-disk-image.nix {
  inherit config lib pkgs;
  installBootLoader = false;
  additionalSpace = "1M";
  copyChannel = false;
}

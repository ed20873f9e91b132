# The program, for the machine that builds: the one of the overlay where pkgs has
# it, else built from this source tree.
{ pkgs, lib }:
let
  inherit (pkgs) buildPackages;
in
buildPackages.diskwright or (buildPackages.callPackage ./package.nix {
  # The module wants a Go that may be newer than the default of a release.
  buildGoModule = buildPackages.buildGo126Module or buildPackages.buildGoModule;
})

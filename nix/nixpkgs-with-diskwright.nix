# A copy of nixpkgs in which nixos/lib/make-disk-image.nix and its two siblings for
# ZFS are Diskwright's, so that every module that makes an image with them
# (amazon-image.nix, azure-image.nix, disk-image.nix, …) does so unchanged, and
# without a virtual machine:
#
#   nix-build nix/nixpkgs-with-diskwright.nix -o nixpkgs-with-diskwright
#   nix-build '<nixpkgs/nixos>' -I nixpkgs=./nixpkgs-with-diskwright \
#     -I nixos-config=./configuration.nix -A config.system.build.images.amazon
#
# An expression that imports the copy itself makes Nix build it while evaluating.
{
  pkgs ? import <nixpkgs> { },
}:
let
  inherit (pkgs) lib;

  # What the expressions need of this project: themselves, and the program's
  # source.
  apart = map (name: toString (../. + "/${name}")) [
    ".ci"
    ".git"
    "changelog"
    "diskwright" # the program, if `make build` was here
    "docs"
    "examples"
    "out"
    "result"
  ];
  project = lib.cleanSourceWith {
    name = "diskwright";
    src = ../.;
    filter = path: _: !(lib.elem path apart) && !(lib.hasSuffix ".img" path);
  };
in
pkgs.runCommand "nixpkgs-with-diskwright" { } ''
  cp -r --reflink=auto ${lib.cleanSource pkgs.path} "$out"
  cd "$out/nixos/lib"
  chmod u+w .
  cp -r ${project} diskwright
  for builder in make-disk-image.nix make-multi-disk-zfs-image.nix make-single-disk-zfs-image.nix; do
    if [ -e "$builder" ]; then # of older releases some are missing
      rm "$builder"
      echo "import ./diskwright/nix/$builder" >"$builder"
    fi
  done
''

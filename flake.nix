{
  description = "Partitioned, reproducible disk images without a virtual machine, root or mkfs";

  # No lock file: this project cannot vouch for a nixpkgs that it has not been
  # built with. Users bring theirs (inputs.diskwright.inputs.nixpkgs.follows).
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      forSystems =
        systems: f:
        lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      linux = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      darwin = [
        "x86_64-darwin"
        "aarch64-darwin"
      ];
    in
    {
      packages = forSystems (linux ++ darwin) (pkgs: rec {
        inherit (self.overlays.default pkgs pkgs) diskwright;
        default = diskwright;
      });

      # pkgs.diskwright, pkgs.diskwrightImage
      overlays.default = import ./nix/overlay.nix;

      # system.build.diskwrightImage, system.build.images.diskwright-*
      nixosModules.default = ./nix/module.nix;

      # make-disk-image.nix, with pkgs, lib and config among its arguments.
      lib.makeDiskImage = import ./nix/make-disk-image.nix;
      lib.makeMultiDiskZFSImage = import ./nix/make-multi-disk-zfs-image.nix;
      lib.makeSingleDiskZFSImage = import ./nix/make-single-disk-zfs-image.nix;

      legacyPackages = forSystems linux (pkgs: {
        # nixpkgs with Diskwright in the place of its own make-disk-image.nix.
        nixpkgs-with-diskwright = import ./nix/nixpkgs-with-diskwright.nix { inherit pkgs; };
        # Images of nixpkgs' own modules, built both ways and compared.
        callers = import ./nix/tests/callers.nix { inherit pkgs; };
      });
    };
}

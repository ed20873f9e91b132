# Adds to nixpkgs:
#
#   diskwright        the program
#   diskwrightImage   make-disk-image.nix, with pkgs and lib given:
#                     diskwrightImage { inherit config; format = "qcow2"; }
final: _: {
  diskwright = final.callPackage ./package.nix {
    # The module wants a Go that may be newer than the default of a release.
    buildGoModule = final.buildGo126Module or final.buildGoModule;
  };

  diskwrightImage =
    args:
    import ./make-disk-image.nix (
      {
        pkgs = final;
        inherit (final) lib;
      }
      // args
    );
}

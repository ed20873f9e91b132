# The stand-in in the place of the input nixpkgs of this project's flake.
{
  outputs = _: {
    lib = import ./lib.nix;
    legacyPackages = builtins.listToAttrs (
      map
        (system: {
          name = system;
          value = import ./. { inherit system; };
        })
        [
          "x86_64-linux"
          "aarch64-linux"
          "x86_64-darwin"
          "aarch64-darwin"
        ]
    );
  };
}

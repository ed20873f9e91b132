# The system of ../../system.nix, whatever modules ask for, with two image
# variants.
{
  lib,
  modules,
  pkgs,
  system,
}:
let
  standin = import ../../system.nix {
    inherit pkgs;
    loader.grub = {
      enable = true;
      devices = [ "/dev/vda" ];
      efiSupport = false;
      font = null;
      mirroredBoots = [ ];
      splashImage = null;
    };
  };
in
{
  config = standin // {
    system = standin.system // {
      build = standin.system.build // {
        images = lib.genAttrs [ "amazon" "qemu" ] (
          name: import ./make-disk-image.nix { inherit name pkgs; inherit (pkgs) lib; config = standin; installBootLoader = false; }
        );
      };
    };
  };
}

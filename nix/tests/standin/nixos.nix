# A NixOS system for lib.evalModules: the one of system.nix, with GRUB's options as
# a release has them, and image variants.
{
  config,
  extendModules,
  lib,
  pkgs,
  variants ? true, # whether the release has them
  ...
}:
let
  system = import ./system.nix { inherit pkgs; };
in
{
  options = lib.optionalAttrs variants { image.modules = lib.mkOption { default = { }; }; } // {
    virtualisation.diskSize = lib.mkOption { default = "auto"; };
    fileSystems."/".label = lib.mkOption { default = null; };
    boot.loader.grub = {
      enable = lib.mkOption { default = true; };
      devices = lib.mkOption { default = [ "/dev/vda" ]; };
      efiSupport = lib.mkOption { default = false; };
    };
    boot.loader.systemd-boot = {
      enable = lib.mkOption { default = false; };
      xbootldrMountPoint = lib.mkOption { default = null; };
    };
    boot.loader.efi.efiSysMountPoint = lib.mkOption { default = "/boot"; };
  };
  config = {
    inherit (system) systemd hardware;
    system.nixos = system.system.nixos;
    system.build.toplevel = system.system.build.toplevel;
    boot.loader = {
      timeout = 5;
      efi.canTouchEfiVariables = false;
      grub = {
        mirroredBoots = [
          {
            path = "/boot";
            inherit (config.boot.loader.grub) devices;
          }
        ];
        splashImage = null;
        font = null;
      };
    };
    system.build.images = builtins.mapAttrs (
      _: module:
      let
        inherit ((extendModules { modules = [ module ]; })) config;
      in
      config.system.build.image
      // {
        passthru.filePath = "${config.image.baseName}.${config.image.extension}";
      }
    ) (config.image.modules or { });
  };
}

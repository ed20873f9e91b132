# What nixpkgs' module of this name has that nix/module.nix builds upon: options
# for the format and the firmware, a boot loader for it, and an image.
{ config, lib, ... }:
{
  options.image = {
    format = lib.mkOption { default = "qcow2"; };
    efiSupport = lib.mkOption { default = true; };
    baseName = lib.mkOption { default = "standin"; };
    extension = lib.mkOption { };
  };
  config = {
    boot.loader.grub.enable = lib.mkForce (!config.image.efiSupport);
    boot.loader.systemd-boot.enable = lib.mkForce config.image.efiSupport;
    image.extension = config.image.format;
    system.build.image = "an image that a virtual machine makes";
  };
}

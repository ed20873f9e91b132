# The boot loader of a system and its settings, as the parameter bootLoader
# takes them (docs/parameters.md): the shape and the names of NixOS's
# boot.loader, and exactly one loader in it.
#
# Everything comes from options. Where builders of boot menus differ between
# releases of NixOS, the options that a release has tell which one it is.
{
  config,
  lib,
  pkgs,
}:
let
  inherit (config.boot) loader;

  # The options of a loader that this release has, out of those that matter to an
  # image. An unknown one would be refused by the program, on purpose.
  select = names: cfg: lib.filterAttrs (name: _: lib.elem name names) cfg;

  loaders = {
    systemd-boot =
      select [
        "bootCounting"
        "configurationLimit"
        "consoleMode"
        "editor"
        "extraEfiDrivers"
        "extraEntries"
        "extraFiles"
        "extraInstallCommands"
        "graceful"
        "installDeviceTree"
        "rebootForBitlocker"
        "sortKey"
        "xbootldrMountPoint"
      ] loader.systemd-boot
      // {
        distroName = config.system.nixos.distroName or "NixOS";
        systemd = "${config.systemd.package}";
        # extraEntries and extraFiles hold what memtest86 and its like ask for.
        builder =
          if loader.systemd-boot ? bootCounting then
            "26.05"
          else if loader.systemd-boot ? installDeviceTree then
            "25.05"
          else
            "24.05";
      };

    grub = import ./boot-loader-grub.nix { inherit config lib pkgs select; };

    limine =
      select [
        "additionalFiles"
        "biosDevice"
        "biosSupport"
        "efiInstallAsRemovable"
        "efiSupport"
        "enableEditor"
        "enrollConfig"
        "extraConfig"
        "extraEntries"
        "force"
        "maxGenerations"
        "panicOnChecksumMismatch"
        "partitionIndex"
        "style"
        "validateChecksums"
      ] loader.limine
      // {
        package = "${loader.limine.package}";
        secureBoot = select [
          "createAndEnrollKeys"
          "enable"
        ] (loader.limine.secureBoot or { });
      };

    generic-extlinux-compatible =
      select [
        "configurationLimit"
        "copyKernels" # of some forks: the program refuses these two, and says so
        "mirroredBoots"
        "storePath"
        "useGenerationDeviceTree"
      ] loader.generic-extlinux-compatible
      // {
        deviceTree = config.hardware.deviceTree.name or null;
      };

    initScript = { };
  };

  isEnabled = name: loader.${name}.enable or false;
  enabled = lib.filter isEnabled (lib.attrNames loaders);
  known = lib.concatStringsSep ", " (map (name: "boot.loader.${name}") (lib.attrNames loaders));
  name =
    if isEnabled "external" then
      throw "boot.loader.external: its installHook is a program that needs a running system; Diskwright knows ${known}. Set installMethod = \"vm\" to have the system install it, or installBootLoader = false to make an image without a boot loader."
    else if enabled == [ ] then
      throw "installBootLoader: the system enables no boot loader that Diskwright knows (${known}). Set installBootLoader = false to make an image without one."
    else if lib.length enabled > 1 then
      throw "installBootLoader: the system enables several boot loaders: ${
        lib.concatStringsSep ", " (map (name: "boot.loader.${name}") enabled)
      }."
    else
      lib.head enabled;
in
{
  inherit (loader) timeout;
  efi = select [
    "canTouchEfiVariables"
    "efiSysMountPoint"
  ] loader.efi;
  ${name} = loaders.${name};
}

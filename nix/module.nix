# A NixOS module:
#
#   system.build.diskwrightImage        an image of the system as it is configured
#   system.build.images.diskwright-*    variants, which bring file systems and a
#                                       boot loader of their own, as nixpkgs'
#                                       qemu, qemu-efi, raw and raw-efi do
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  cfg = config.diskwright;
  inherit (config.boot) loader;

  # The layout that the configured boot loader is for.
  layoutOf =
    { bios, efi }:
    if bios && efi then
      "hybrid"
    else if efi then
      "efi"
    else
      "legacy";
  layout =
    if loader.systemd-boot.enable or false then
      if (loader.systemd-boot.xbootldrMountPoint or null) != null then "efixbootldr" else "efi"
    else if loader.limine.enable or false then
      # It reads FAT only, so that BIOS alone needs a boot partition, too.
      if loader.limine.efiSupport then
        layoutOf {
          bios = loader.limine.biosSupport;
          efi = true;
        }
      else
        "legacy+boot"
    else
      layoutOf {
        bios = (loader.grub.devices or [ ]) != [ "nodev" ];
        efi = loader.grub.efiSupport or false;
      };
  rootLabel = config.fileSystems."/".label or null;

  # nixpkgs' disk-image.nix has the options image.format and image.efiSupport, and
  # the file systems and the boot loader for them. What differs is who builds,
  # and the name of a raw image, which ends in .img whatever that module says.
  variant =
    format: efiSupport:
    {
      config,
      lib,
      modulesPath,
      ...
    }:
    {
      imports = [ (modulesPath + "/virtualisation/disk-image.nix") ];
      image.format = format;
      image.efiSupport = efiSupport;
      image.extension = lib.mkForce (if format == "raw" then "img" else format);
      diskwright.image = {
        baseName = lib.mkForce config.image.baseName;
        diskSize = lib.mkDefault config.virtualisation.diskSize;
        format = lib.mkForce format;
        partitionTableType = lib.mkForce (if efiSupport then "efi" else "legacy");
      };
      system.build.image = lib.mkForce config.system.build.diskwrightImage;
    };
in
{
  options.diskwright = {
    package = lib.mkOption {
      type = lib.types.package;
      default = import ./diskwright.nix { inherit lib pkgs; };
      defaultText = lib.literalExpression "pkgs.buildPackages.diskwright";
      description = "The program, for the machine that builds.";
    };

    image = lib.mkOption {
      type = lib.types.lazyAttrsOf lib.types.raw;
      default = { };
      example = lib.literalExpression ''
        {
          format = "qcow2-compressed";
          additionalSpace = "2G";
        }
      '';
      description = ''
        Arguments for {option}`system.build.diskwrightImage`: those of nixpkgs'
        make-disk-image.nix, and Diskwright's own. Without partitionTableType, the
        layout is the one that the configured boot loader is for.
      '';
    };
  };

  config = {
    system.build.diskwrightImage = import ./make-disk-image.nix (
      {
        inherit config lib pkgs;
        diskwright = cfg.package;
        partitionTableType = layout;
      }
      // lib.optionalAttrs (rootLabel != null) { label = rootLabel; }
      // cfg.image
    );
  }
  # Releases before 25.05 have no variants.
  // lib.optionalAttrs (options ? image && options.image ? modules) {
    image.modules = {
      diskwright-raw = variant "raw" false;
      diskwright-raw-efi = variant "raw" true;
      diskwright-qemu = variant "qcow2" false;
      diskwright-qemu-efi = variant "qcow2" true;
    };
  };
}

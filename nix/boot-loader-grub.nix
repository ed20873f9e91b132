# boot.loader.grub for the parameter bootLoader: its options, and the packages
# that NixOS's module picks for them. The packages are paths of the image, which
# has them because the system refers to them; only grub-mkimage runs, and it is
# that of the building machine.
{
  config,
  lib,
  pkgs,
  select,
}:
let
  cfg = config.boot.loader.grub;

  grubPkgs = if cfg.forcei686 or false then pkgs.pkgsi686Linux else pkgs;
  package =
    if cfg.zfsSupport or false then
      grubPkgs.grub2.override (
        { zfsSupport = true; } // lib.optionalAttrs (cfg ? zfsPackage) { zfs = cfg.zfsPackage; }
      )
    else
      grubPkgs.grub2;
  packageEFI = package.override { efiSupport = true; };

  hasBIOS = cfg.devices != [ "nodev" ];
  hasEFI = cfg.efiSupport;

  # The module converts other fonts; the same words give the same store path,
  # which the system refers to.
  font =
    if cfg.font == null || lib.hasSuffix ".pf2" (toString cfg.font) then
      cfg.font
    else
      pkgs.runCommand "grub-font-converted.pf2" { } (
        lib.concatStringsSep " " (
          [
            "${package}/bin/grub-mkfont"
            "${cfg.font}"
            "--output"
            "$out"
          ]
          ++ lib.optional (cfg.fontSize != null) "--size ${toString cfg.fontSize}"
        )
      );

  toString' = value: if value == null then null else "${value}";
  buildGrub =
    if hasEFI then pkgs.buildPackages.grub2_efi else pkgs.buildPackages.grub2;
in
# extraFiles are in extraPrepareConfig, and device is in devices.
select [
  "backgroundColor"
  "configurationLimit"
  "copyKernels"
  "default"
  "devices"
  "efiInstallAsRemovable"
  "efiSupport"
  "enableCryptodisk"
  "entryOptions"
  "extraConfig"
  "extraEntries"
  "extraEntriesBeforeNixOS"
  "extraGrubInstallArgs"
  "extraInstallCommands"
  "extraPerEntryConfig"
  "extraPrepareConfig"
  "forceInstall"
  "fsIdentifier"
  "gfxmodeBios"
  "gfxmodeEfi"
  "gfxpayloadBios"
  "gfxpayloadEfi"
  "splashMode"
  "storePath"
  "subEntryOptions"
  "timeoutStyle"
  "useOSProber"
] cfg
// {
  mirroredBoots = map (select [
    "devices"
    "efiBootloaderId"
    "efiSysMountPoint"
    "path"
  ]) cfg.mirroredBoots;
  users = builtins.mapAttrs (
    _:
    select [
      "hashedPassword"
      "hashedPasswordFile"
      "password"
      "passwordFile"
    ]
  ) (cfg.users or { });
  splashImage = toString' cfg.splashImage;
  theme = toString' (cfg.theme or null);
  font = toString' font;

  distroName = config.system.nixos.distroName or "NixOS";
  olderSubmenus = lib.versionOlder lib.trivial.release "25.05";
  fullName = lib.getName package;
  fullVersion = lib.getVersion package;
  grub = lib.optionalString hasBIOS "${package}";
  grubTarget = lib.optionalString hasBIOS (toString (package.grubTarget or ""));
  grubEfi = lib.optionalString hasEFI "${packageEFI}";
  grubTargetEfi = lib.optionalString hasEFI (toString (packageEFI.grubTarget or ""));
}
// lib.optionalAttrs (hasBIOS || hasEFI) { mkimage = "${buildGrub}/bin/grub-mkimage"; }

# A small system in the shape of NixOS's, and the config that it would come from.
{
  pkgs,
  loader ? { }, # of config.boot.loader: what is not said here is disabled
}:
let
  inherit (pkgs) lib runCommand;

  # Never run: nobody boots this one.
  kernel = runCommand "linux-6.12.1" { } ''
    mkdir -p "$out/lib/modules/6.12.1"
    head -c 300000 /dev/zero | tr '\0' k >"$out/bzImage"
  '';
  initrd = runCommand "initrd-linux-6.12.1" { } ''
    mkdir "$out"
    head -c 200000 /dev/zero | tr '\0' i >"$out/initrd"
  '';
  systemd = runCommand "systemd-257" { } ''
    mkdir -p "$out/lib/systemd/boot/efi"
    program=/usr/lib/systemd/boot/efi/systemd-bootx64.efi
    test ! -e "$program" || cp "$program" "$out/lib/systemd/boot/efi/"
  '';
  hello = runCommand "hello-1.0" { } ''
    mkdir -p "$out/bin" "$out/share"
    printf '#!/bin/sh\necho hello from %s\n' "$out" >"$out/bin/hello"
    chmod +x "$out/bin/hello"
    ln -s "$out/bin/hello" "$out/bin/hallo"
    ln -s ../bin/hello "$out/share/relative"
    : >"$out/share/empty"
  '';
  users = pkgs.writeText "users-groups.json" (
    builtins.toJSON {
      mutableUsers = true;
      users = [
        {
          name = "alice";
          uid = null;
          group = "users";
          isSystemUser = false;
          home = "/home/alice";
        }
        {
          name = "root";
          uid = 0;
          group = "root";
          isSystemUser = false;
          home = "/root";
        }
      ];
      groups = [
        {
          name = "root";
          gid = 0;
          members = [ ];
        }
        {
          name = "users";
          gid = 100;
          members = [ ];
        }
      ];
    }
  );
  etc = runCommand "etc" { } ''
    mkdir -p "$out/etc"
    echo standin >"$out/etc/hostname"
    ln -s ${hello}/share "$out/etc/share"
  '';
  # What switch-to-configuration would run is part of a system.
  installer = pkgs.writeText "install-boot-loader" (
    lib.optionalString (loader.grub.enable or false) "${pkgs.grub2} ${pkgs.grub2_efi}"
  );
  label = "25.05.standin";
  toplevel = runCommand "nixos-system-standin-${label}" { } ''
    mkdir -p "$out/bin" "$out/specialisation"
    printf '#!/bin/sh\n# %s\n' "$out" >"$out/init"
    printf '#!/bin/sh\nperl -w /update-users-groups.pl ${users}\n' >"$out/activate"
    chmod +x "$out/init" "$out/activate"
    ln -s ${kernel}/bzImage "$out/kernel"
    ln -s ${kernel} "$out/kernel-modules"
    ln -s ${initrd}/initrd "$out/initrd"
    ln -s ${etc}/etc "$out/etc"
    ln -s ${hello} "$out/sw"
    ln -s ${systemd} "$out/systemd"
    printf '#!/bin/sh\nINSTALL_BOOTLOADER=%s\n' ${installer} >"$out/bin/switch-to-configuration"
    printf 'console=ttyS0 quiet' >"$out/kernel-params"
    printf %s ${label} >"$out/nixos-version"
    printf %s ${pkgs.system} >"$out/system"
    printf 'systemd 2' >"$out/init-interface-version"
  '';
in
{
  system.nixos = {
    inherit label;
    version = label;
    versionSuffix = ".standin";
    distroName = "NixOS";
  };
  system.build.toplevel = toplevel;
  systemd.package = systemd;
  fileSystems."/".label = null;
  hardware.deviceTree.name = null;
  boot.loader =
    lib.genAttrs [
      "grub"
      "systemd-boot"
      "generic-extlinux-compatible"
      "initScript"
      "limine"
      "external"
    ] (_: { enable = false; })
    // {
      timeout = 5;
      efi.canTouchEfiVariables = false;
      efi.efiSysMountPoint = "/boot";
    }
    // loader;
}

# Images of nixpkgs' own modules, made by its make-disk-image.nix and by Diskwright
# and compared in a virtual machine; and nixpkgs' own tests of such images, with
# Diskwright's. For machines with KVM and a binary cache:
#
#   nix-build nix/tests/callers.nix                   everything
#   nix-build nix/tests/callers.nix -A amazon         one comparison
#   nix-build nix/tests/callers.nix -A tests          nixpkgs' tests
#
# A comparison is a derivation that fails with a diff.
{
  pkgs ? import <nixpkgs> { },
}:
let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) system;

  reference = pkgs.path;
  diskwright = import ../nixpkgs-with-diskwright.nix { inherit pkgs; };

  base = {
    system.stateVersion = lib.trivial.release;
    documentation.enable = false;
    nix.channel.enable = false;
  };

  # The modules are those of either nixpkgs, the packages always the same: the
  # source of nixpkgs, which becomes the channel, would differ otherwise.
  configuration =
    nixpkgs: modules:
    (import (nixpkgs + "/nixos/lib/eval-config.nix") {
      inherit lib pkgs;
      system = null;
      modules = [ base ] ++ modules;
    }).config;

  # An image of the system that nixpkgs' own modules make, by the
  # make-disk-image.nix of either.
  variant = name: nixpkgs: (configuration nixpkgs [ ]).system.build.images.${name};

  # make-disk-image.nix with arguments, for what no variant asks for.
  direct =
    modules: args: nixpkgs:
    import (nixpkgs + "/nixos/lib/make-disk-image.nix") (
      {
        inherit lib pkgs;
        # The same system in both.
        config = configuration reference modules;
        copyChannel = false;
      }
      // args
    );

  grub = {
    boot.loader.grub.device = "/dev/vda";
    fileSystems."/".device = "/dev/disk/by-label/nixos";
  };
  grubEFI = {
    boot.loader.grub = {
      device = "nodev";
      efiSupport = true;
      efiInstallAsRemovable = true;
    };
    fileSystems."/".device = "/dev/disk/by-label/nixos";
    fileSystems."/boot" = {
      device = "/dev/disk/by-label/ESP";
      fsType = "vfat";
    };
  };
  systemdBoot = {
    boot.loader.systemd-boot.enable = true;
    fileSystems."/".device = "/dev/disk/by-label/nixos";
    fileSystems."/boot" = {
      device = "/dev/disk/by-label/ESP";
      fsType = "vfat";
    };
  };
  xbootldr = lib.recursiveUpdate systemdBoot {
    boot.loader.systemd-boot.xbootldrMountPoint = "/boot";
    boot.loader.efi.efiSysMountPoint = "/efi";
    fileSystems."/boot".device = "/dev/disk/by-label/BOOT";
    fileSystems."/efi" = {
      device = "/dev/disk/by-label/ESP";
      fsType = "vfat";
    };
  };

  variants = lib.genAttrs (
    # Releases differ in the variants that they have.
    lib.filter (name: (configuration reference [ ]).system.build.images ? ${name}) [
      "amazon"
      "azure"
      "cloudstack"
      "digital-ocean"
      "google-compute"
      "hyperv"
      "kubevirt"
      "linode"
      "oci"
      "openstack"
      "proxmox"
      "qemu"
      "qemu-efi"
      "raw"
      "raw-efi"
      "virtualbox"
      "vmware"
    ]
  ) variant;

  layouts = {
    legacy = direct [ grub ] { };
    legacy-boot = direct [ grub { boot.loader.grub.copyKernels = true; } ] {
      partitionTableType = "legacy+boot";
    };
    legacy-gpt = direct [ grub ] { partitionTableType = "legacy+gpt"; };
    efi = direct [ systemdBoot ] {
      partitionTableType = "efi";
      touchEFIVars = true;
    };
    efi-grub = direct [ grubEFI ] { partitionTableType = "efi"; };
    efixbootldr = direct [ xbootldr ] { partitionTableType = "efixbootldr"; };
    hybrid = direct [ (lib.recursiveUpdate grubEFI { boot.loader.grub.device = "/dev/vda"; }) ] {
      partitionTableType = "hybrid";
    };
    # As qemu-vm.nix makes its two disks.
    store-image = direct [ grub ] {
      onlyNixStore = true;
      partitionTableType = "none";
      installBootLoader = false;
      additionalSpace = "0M";
      format = "qcow2";
    };
    system-image = direct [ grub ] {
      additionalPaths = [ pkgs.hello ];
      additionalSpace = "0M";
      format = "qcow2";
    };
    # As tests/image-contents.nix does.
    contents = direct [ grub ] {
      contents = [
        {
          source = pkgs.writeText "testFile" "contents";
          target = "/testFile";
          user = "1234";
          group = "5678";
          mode = "755";
        }
        {
          source = "${pkgs.hello}/share";
          target = "/testDir";
        }
      ];
      configFile = pkgs.writeText "configuration.nix" "{ }";
    };
  };

  # Has the disk of an output as NAME.raw in the working directory.
  unpack = ''
    unpack() {
      local name=$1 file
      file=$(find "$2" -type f ! -path '*/nix-support/*' ! -name efi-vars.fd | head -n 1)
      mkdir "$name"
      case $file in
        *.tar.gz) tar -xzf "$file" -C "$name" ;;
        *.ova) tar -xf "$file" -C "$name" ;;
        *.vma.zst) zstd -dc "$file" >"$name.vma" && vma extract "$name.vma" "$name/out" ;;
        *.gz) gzip -dc "$file" >"$name/$(basename "$file" .gz)" ;;
        *) ln -s "$file" "$name/$(basename "$file")" ;;
      esac
      file=$(find "$name" ! -type d \( -name '*.img' -o -name '*.qcow2' -o -name '*.raw' -o -name '*.vhd' -o -name '*.vhdx' -o -name '*.vmdk' -o -name '*.vdi' \) | head -n 1)
      qemu-img convert -O raw "$file" "$name.raw"
    }
  '';

  compare =
    name: image:
    pkgs.vmTools.runInLinuxVM (
      pkgs.runCommand "compare-${name}"
        {
          reference = image reference;
          diskwright = image diskwright;
          memSize = 2048;
          preVM = ''
            export PATH=${
              lib.makeBinPath (
                with pkgs;
                [
                  coreutils
                  findutils
                  gnutar
                  gzip
                  qemu-utils
                  zstd
                ]
                ++ lib.optional (pkgs ? vma) vma
              )
            }:$PATH
            mkdir "$out"
            ${unpack}
            unpack reference "$reference"
            unpack diskwright "$diskwright"
            QEMU_OPTS+=" -drive file=$PWD/reference.raw,if=virtio,format=raw,readonly=on"
            QEMU_OPTS+=" -drive file=$PWD/diskwright.raw,if=virtio,format=raw,readonly=on"
          '';
        }
        ''
          export PATH=${
            lib.makeBinPath (
              with pkgs;
              [
                bash
                coreutils
                diffutils
                findutils
                gnugrep
                gnused
                sqlite
                util-linux
              ]
            )
          }:$PATH
          bash ${./compare} /dev/vda /dev/vdb
        ''
    );

  # nixpkgs' tests of images that make-disk-image.nix makes, as far as this release
  # has them.
  tests = lib.recurseIntoAttrs (
    lib.filterAttrs (
      name: _:
      lib.elem name [
        "image-contents"
        "make-disk-image-reproducible"
        "qemu-vm-external-disk-image"
        "qemu-vm-store"
        "systemd-boot"
        "systemd-repart"
      ]
    ) (import diskwright { inherit system; }).nixosTests
  );
in
lib.mapAttrs compare (variants // layouts) // { inherit tests; }

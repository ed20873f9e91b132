# A stand-in for nixpkgs: as much of pkgs and lib as the expressions of nix/ use,
# for tests on machines that have Nix and nothing from a cache. Builders are
# the shell and the tools of the host (sandbox-paths lets them into the
# sandbox).
{
  system ? builtins.currentSystem,
  hostSystem ? system, # of what is built
  diskwright ? null, # the program; none for tests that only evaluate
  # Directories of the host with Go and its modules, to build the program with.
  # None for tests that only evaluate it.
  go ? {
    root = "/none";
    modules = "/none";
  },
  overlays ? [ ],
}:
let
  lib = import ./lib.nix;

  # Like stdenv's: the environment has $out and $TMPDIR, PATH is that of
  # nativeBuildInputs and the host's, and the shell stops at the first error,
  # also within pipelines and of variables that are not set.
  runCommand =
    name: attrs: script:
    derivation (
      {
        inherit name system;
        builder = "/bin/bash";
        args = [
          "-c"
          ''
            set -euo pipefail
            export PATH=/usr/bin:/bin
            for input in $nativeBuildInputs; do PATH=$input/bin:$PATH; done
            export SOURCE_DATE_EPOCH=315532800 LC_ALL=C
            if [ -n "''${buildCommandPath:-}" ]; then buildCommand=$(cat "$buildCommandPath"); fi
            eval "$buildCommand"
          ''
        ];
        buildCommand = script;
        nativeBuildInputs = [ ];
      }
      // attrs
      // {
        passAsFile = [ "buildCommand" ] ++ attrs.passAsFile or [ ];
      }
    );

  # A package of programs that are the host's.
  tools = name: runCommand name { } ''mkdir -p "$out/bin"'';

  grub =
    name: target:
    runCommand name { } ''
      mkdir -p "$out/bin" "$out/lib/grub" "$out/share/grub"
      ln -s /usr/bin/grub-mkimage "$out/bin/grub-mkimage"
      test ! -e /usr/lib/grub/${target} || cp -r /usr/lib/grub/${target} "$out/lib/grub/"
      echo font >"$out/share/grub/unicode.pf2"
    ''
    // {
      pname = "grub";
      version = "2.12";
      grubTarget = target;
    };

  packages = final: {
    inherit lib runCommand system;
    path = ./.;
    buildPackages = final;
    stdenv.buildPlatform = {
      canExecute = _: true;
      inherit system;
    };
    stdenv.hostPlatform.system = hostSystem;

    # The host's, in /usr.
    qemu_kvm = tools "qemu-kvm";
    qemu = tools "qemu";

    writeText =
      name: text:
      runCommand name {
        inherit text;
        passAsFile = [ "text" ];
      } ''cp "$textPath" "$out"'';

    # registration and store-paths, as nixpkgs writes them.
    closureInfo =
      { rootPaths }:
      runCommand "closure-info"
        {
          exportReferencesGraph = lib.concatLists (
            map (n: [
              "graph-${toString n}"
              (builtins.elemAt rootPaths n)
            ]) (builtins.genList (n: n) (builtins.length rootPaths))
          );
        }
        ''
          mkdir "$out"
          bash ${./closure-info} "$out" graph-*
        '';

    callPackage =
      file: overrides:
      let
        f = import file;
      in
      f (builtins.intersectAttrs (builtins.functionArgs f) final // overrides);

    # Of the host, where it has them: tests that install a boot loader look first.
    OVMF.fd = {
      firmware = throw "no virtual machine is started";
      variables = runCommand "OVMF_VARS.fd" { } ''cat /usr/share/OVMF/OVMF_VARS_4M.fd >"$out"'';
    };
    # grub2 of nixpkgs is for BIOS unless it is overridden.
    grub2 = grub "grub-2.12" "i386-pc" // {
      override = _: final.grub2_efi;
    };
    grub2_efi = grub "grub-efi-2.12" "x86_64-efi";
    limine = runCommand "limine-8" { } ''mkdir -p "$out/share/limine"'';

    # As if a virtual machine ran what runs.
    vmTools.runInLinuxVM = drv: drv;
    nixosTests = {
      image-contents = tools "image-contents";
      other = throw "no test of images";
    };

    # What the function of nixpkgs does with the arguments that it gets here: the
    # modules are vendored by a derivation whose output must have vendorHash.
    buildGoModule =
      attrs:
      let
        environment = ''
          export HOME="$TMPDIR" GOROOT=${go.root} GOMODCACHE=${go.modules} GOPROXY=off GOTOOLCHAIN=local
          export PATH=${go.root}/bin:$PATH
          cp -r "$src" source
          chmod -R u+w source
          cd source
        '';
      in
      runCommand "${attrs.pname}-${attrs.version}"
        {
          inherit (attrs) src vendorHash nativeBuildInputs;
          inherit (attrs.env) CGO_ENABLED;
          modules = runCommand "go-modules" {
            inherit (attrs) src;
            outputHash = attrs.vendorHash;
            outputHashAlgo = "sha256";
            outputHashMode = "recursive";
          } (environment + ''go mod vendor -o "$out"'');
        }
        (
          environment
          + ''
            cp -r "$modules" vendor
            go install -mod=vendor -trimpath -ldflags ${lib.escapeShellArg (toString attrs.ldflags)} ${
              toString (map (package: "./${package}") attrs.subPackages)
            }
            mkdir -p "$out"
            cp -r "$HOME/go/bin" "$out/bin"
            ${attrs.postInstall}
          ''
        );
    installShellFiles = runCommand "install-shell-files" { } ''
      mkdir -p "$out/bin"
      printf '#!/bin/sh\nmkdir -p "$out/share"\ncp "$@" "$out/share/"\n' >"$out/bin/installShellCompletion"
      chmod +x "$out/bin/installShellCompletion"
    '';
  }
  // lib.genAttrs [
    "bash"
    "coreutils"
    "diffutils"
    "dosfstools"
    "e2fsprogs"
    "findutils"
    "gnugrep"
    "gnused"
    "gnutar"
    "gptfdisk"
    "gzip"
    "hello"
    "nix"
    "parted"
    "qemu-utils"
    "rsync"
    "sqlite"
    "systemdMinimal"
    "util-linux"
    "vma"
    "zstd"
  ] tools
  // lib.optionalAttrs (diskwright != null) {
    diskwright = runCommand "diskwright" { program = diskwright; } ''
      mkdir -p "$out/bin"
      cp "$program" "$out/bin/diskwright"
      chmod 755 "$out/bin/diskwright"
    '';
  };

  final = builtins.foldl' (pkgs: overlay: pkgs // overlay final pkgs) (packages final) overlays;
in
final

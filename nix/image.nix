# What the expressions for images have in common: what goes into an image of a
# system, and how it is built.
{
  config,
  lib,
  pkgs,
}:
let
  toplevel = config.system.build.toplevel;

  # What `nix-channel` would have unpacked for root: nixpkgs below nixos/, which
  # finds itself as nixos/nixpkgs, with the system's version suffix.
  channel = pkgs.runCommand "nixos-${config.system.nixos.version}" { } ''
    mkdir -p "$out"
    cp -a ${lib.cleanSource pkgs.path} "$out/nixos"
    cd "$out/nixos"
    chmod -R u+w .
    rm -rf .git
    test -e nixpkgs || ln -s . nixpkgs
    printf %s ${lib.escapeShellArg config.system.nixos.versionSuffix} >.version-suffix
  '';

  # A specification says nothing of what is not asked for. Paths of the
  # evaluating machine (./motd) become store paths here.
  content =
    entry:
    {
      source = "${entry.source}";
      target = "${entry.target}";
    }
    // lib.optionalAttrs ((entry.mode or null) != null) { mode = toString entry.mode; }
    // lib.optionalAttrs ((entry.user or null) != null) { user = toString entry.user; }
    // lib.optionalAttrs ((entry.group or null) != null) { group = toString entry.group; };

  # What the originals have in the PATH of postVM, as far as it does not belong to
  # their virtual machine.
  postVMTools = with pkgs; [
    dosfstools
    e2fsprogs
    gptfdisk
    nix
    parted
    rsync
    systemdMinimal
    util-linux
  ];

  # What runs a virtual machine of the system's architecture, and what runs in it
  # where that is not the builder's.
  isNative = pkgs.stdenv.buildPlatform.system == pkgs.stdenv.hostPlatform.system;
  qemu = if isNative then pkgs.buildPackages.qemu_kvm else pkgs.buildPackages.qemu;
  guest = import ./diskwright.nix {
    inherit lib;
    pkgs.buildPackages = pkgs;
  };
in
{
  # The part of a specification that says what goes into the image.
  specify =
    {
      copyChannel,
      additionalPaths ? [ ],
      contents,
      configFile,
      installBootLoader,
      settings ? installBootLoader,
    }:
    let
      roots = [ toplevel ] ++ lib.optional copyChannel channel;
      furtherPaths = lib.subtractLists roots additionalPaths;
    in
    {
      system = "${toplevel}";
      closureInfo = "${pkgs.closureInfo { rootPaths = roots ++ furtherPaths; }}";
      additionalPaths = map (path: "${path}") furtherPaths;
      contents = map content contents;
      configFile = if configFile == null then null else "${configFile}";
      inherit installBootLoader;
    }
    // lib.optionalAttrs copyChannel { channel = "${channel}"; }
    // lib.optionalAttrs (installBootLoader && settings) {
      bootLoader = import ./boot-loader.nix { inherit config lib pkgs; };
    };

  # The derivation. PostVM is shell code for when everything is in place, and
  # variables what sets the shell's variables that it may use. InVM says whether a
  # virtual machine is part of the build.
  #
  # The originals run it with errexit, and with neither pipefail nor nounset,
  # which the builder of runCommand has: `… | head` must not fail here.
  build =
    {
      name,
      diskwright,
      specification,
      postVM,
      variables,
      inVM ? false,
    }:
    pkgs.runCommand name
      (
        {
          nativeBuildInputs = [
            diskwright
          ]
          ++ lib.optional inVM qemu
          ++ lib.optionals (postVM != "") postVMTools;
          specification = builtins.toJSON specification;
          passAsFile = [ "specification" ];
        }
        // lib.optionalAttrs (inVM && specification.vmAccel == "kvm") {
          requiredSystemFeatures = [ "kvm" ];
        }
      )
      ''
        diskwright build "$specificationPath" -o "$out"${
          lib.optionalString (inVM && !isNative) " --guest-binary ${guest}/bin/diskwright"
        }
        ${lib.optionalString (postVM != "") ''
          set -e +u +o pipefail
          ${variables}
          export HOME="$TMPDIR"
          cd "$TMPDIR"
          ${postVM}
        ''}
      '';
}

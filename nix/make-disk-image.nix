# A disk image of a NixOS system, made by Diskwright: takes the place of
# nixos/lib/make-disk-image.nix of nixpkgs, with the same arguments, defaults,
# assertions and outputs.
#
#   evaluation   what only Nix knows: the toplevel, its closure, the channel,
#                the settings of the boot loader
#   build        `diskwright build`, in a plain derivation: no virtual machine,
#                so no "kvm" among the features that a builder must have
#
#   $out/BASENAME.EXT
#   $out/efi-vars.fd                        with touchEFIVars
#   $out/nix-support/hydra-build-products
#
# docs/nix.md is the manual, docs/migrating.md says what differs.
{
  pkgs,
  lib,

  # The system.
  config,

  # MiB, "auto" (from the content, plus additionalSpace) or "min" (the smallest
  # that holds the content, plus additionalSpace).
  diskSize ? "auto",
  additionalSpace ? "512M",

  # Where the boot partition ends, in the layouts that have one.
  bootSize ? "256M",

  # What else goes into the root file system: a list of { source, target } with,
  # optionally, mode, user and group.
  contents ? [ ],

  # Layout of the disk: legacy, legacy+boot, legacy+gpt, efi, efixbootldr,
  # hybrid, none.
  partitionTableType ? "legacy",

  installBootLoader ? true,

  # Whether efi-vars.fd, a copy of efiVariables with the loader's boot entry,
  # goes beside the image.
  touchEFIVars ? false,
  OVMF ? pkgs.OVMF.fd,
  efiFirmware ? OVMF.firmware,
  efiVariables ? OVMF.variables,

  fsType ? "ext4",
  label ? if onlyNixStore then "nix-store" else "nixos",

  # What becomes /etc/nixos/configuration.nix.
  configFile ? null,

  # Shell code for when the image is complete. It finds it in $diskImage, the
  # output directory in $out, and efi-vars.fd in $efiVars.
  postVM ? "",

  # Without effect: there is no virtual machine.
  memSize ? 1024,

  # An image of the store alone, with the store's objects at its root.
  onlyNixStore ? false,

  name ? "nixos-disk-image",
  format ? "raw",
  baseName ? "nixos",

  # Same inputs, same bytes. If false, all identifiers are random.
  deterministic ? true,
  rootGPUID ? "F222513B-DED1-49FA-B591-20CE86A2FE7F",
  rootFSUID ? (if fsType == "ext4" then rootGPUID else null),

  # Whether the image gets nixpkgs as the channel of root.
  copyChannel ? true,

  # Store paths that go into the image with their closures.
  additionalPaths ? [ ],

  # What newer versions of the original take to make it reproducible, and how
  # it fills the file system. Without effect: this one always is.
  reproducible ? true,
  populateRootWith ? "mke2fs",
  rootFSHashSeed ? rootFSUID,

  # Of our own. The program, for the machine that builds,
  diskwright ? import ./diskwright.nix { inherit pkgs lib; },

  # and more of its parameters (docs/parameters.md), such as verifyStore = true.
  # They replace what the arguments above say.
  parameters ? { },
}:

let
  needsFSUID = fsType == "ext4" && deterministic;
  layoutsWithEFIVars = [
    "hybrid"
    "efi"
    "efixbootldr"
    "legacy+gpt"
  ];
  hasOwner = entry: (entry.user or null) != null;
  hasGroup = entry: (entry.group or null) != null;
in

# The messages are those of the original: tools and people look for them.
assert lib.assertOneOf "partitionTableType" partitionTableType [
  "legacy"
  "legacy+boot"
  "legacy+gpt"
  "efi"
  "efixbootldr"
  "hybrid"
  "none"
];
assert lib.assertMsg (needsFSUID -> rootFSUID != null)
  "In deterministic mode with a ext4 partition, rootFSUID must be non-null, by default, it is equal to rootGPUID.";
assert lib.assertMsg (partitionTableType != "none" -> fsType == "ext4")
  "to produce a partition table, we need to use -E offset flag which is support only for fsType = ext4";
assert lib.assertMsg (touchEFIVars -> lib.elem partitionTableType layoutsWithEFIVars)
  "EFI variables can be used only with a partition table of type: hybrid, efi, efixbootldr, or legacy+gpt.";
assert lib.assertMsg (onlyNixStore -> contents == [ ] && configFile == null && !installBootLoader)
  "In a only Nix store image, the contents must be empty, no configuration must be provided and no bootloader should be installed.";
assert lib.assertMsg (lib.all (entry: hasOwner entry == hasGroup entry) contents)
  "Contents of the disk image should set none of {user, group} or both at the same time.";

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

  roots = [ toplevel ] ++ lib.optional copyChannel channel;
  furtherPaths = lib.subtractLists roots additionalPaths;

  # A specification says nothing of what is not asked for. Paths of the
  # evaluating machine (./motd) become store paths here.
  content =
    entry:
    {
      source = "${entry.source}";
      target = "${entry.target}";
    }
    // lib.optionalAttrs ((entry.mode or null) != null) { mode = toString entry.mode; }
    // lib.optionalAttrs (hasOwner entry) {
      user = toString entry.user;
      group = toString entry.group;
    };

  specification =
    {
      system = "${toplevel}";
      closureInfo = "${pkgs.closureInfo { rootPaths = roots ++ furtherPaths; }}";
      additionalPaths = map (path: "${path}") furtherPaths;
      contents = map content contents;
      configFile = if configFile == null then null else "${configFile}";
      diskSize = if lib.isInt diskSize then diskSize else "${diskSize}";
      additionalSpace = toString additionalSpace;
      bootSize = toString bootSize;
      hydraBuildProducts = true;
      inherit
        baseName
        copyChannel
        deterministic
        format
        fsType
        installBootLoader
        label
        onlyNixStore
        partitionTableType
        rootFSUID
        rootGPUID
        touchEFIVars
        ;
    }
    // lib.optionalAttrs copyChannel { channel = "${channel}"; }
    // lib.optionalAttrs touchEFIVars { efiVariables = "${efiVariables}"; }
    // lib.optionalAttrs installBootLoader {
      bootLoader = import ./boot-loader.nix { inherit config lib pkgs; };
    }
    // parameters;

  # What the original has in the PATH of postVM, as far as it does not belong to
  # its virtual machine.
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

  # The original runs postVM with errexit, and with neither pipefail nor
  # nounset, which the builder of runCommand has: `… | head` must not fail here.
  runPostVM = ''
    set -e +u +o pipefail
    read -r _ _ diskImage <"$out/nix-support/hydra-build-products"
    efiVars=${lib.optionalString (touchEFIVars && !onlyNixStore) "$out/efi-vars.fd"}
    export HOME="$TMPDIR"
    cd "$TMPDIR"
    ${postVM}
  '';
in
pkgs.runCommand name
  {
    nativeBuildInputs = [ diskwright ] ++ lib.optionals (postVM != "") postVMTools;
    specification = builtins.toJSON specification;
    passAsFile = [ "specification" ];
  }
  ''
    diskwright build "$specificationPath" -o "$out"
    ${lib.optionalString (postVM != "") runPostVM}
  ''

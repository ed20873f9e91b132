# A disk image of a NixOS system, made by Diskwright: takes the place of
# nixos/lib/make-disk-image.nix of nixpkgs, with the same arguments, defaults,
# assertions and outputs.
#
#   evaluation   what only Nix knows: the toplevel, its closure, the channel,
#                the settings of the boot loader
#   build        `diskwright build`, in a plain derivation: no virtual machine
#                unless installMethod asks for one, and no "kvm" among the
#                features that a builder must have unless vmAccel demands it
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

  # Memory of the virtual machine in MiB, with installMethod = "vm".
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

  # Of our own. Who installs the boot loader: "native", which is Diskwright, or
  # "vm", which is the system's own installer, in a virtual machine (docs/vm.md):
  # for loaders that Diskwright does not know.
  installMethod ? "native",

  # What executes the virtual machine: "auto" takes KVM where it works and an
  # emulator elsewhere, so that any builder will do; "kvm" asks for a builder that
  # has it; "tcg" is the emulator.
  vmAccel ? "auto",

  # Whether the image is the disk as the virtual machine has left it.
  keepDisk ? false,

  # The program, for the machine that builds,
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
  inVM = parameters.installMethod or installMethod == "vm";
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
  image = import ./image.nix { inherit config lib pkgs; };

  # Names that the system's installers have for the disk, as the original links
  # them to it.
  grub = config.boot.loader.grub;
  limine = config.boot.loader.limine or { enable = false; };
  devices =
    lib.optionals grub.enable (grub.devices or [ ])
    ++ lib.optional (limine.enable && limine.biosSupport or false) limine.biosDevice;

  virtualMachine = {
    installMethod = "vm";
    vmDevices = lib.filter (device: device != "nodev" && device != "/dev/vda") devices;
    inherit keepDisk memSize vmAccel;
  }
  // lib.optionalAttrs touchEFIVars {
    efiFirmware = "${efiFirmware}";
    efiSMM = OVMF.systemManagementModeRequired or false;
  };

  specification =
    image.specify {
      inherit
        additionalPaths
        configFile
        contents
        copyChannel
        installBootLoader
        ;
      # The virtual machine has the system's own settings.
      settings = !inVM;
    }
    // lib.optionalAttrs inVM virtualMachine
    // {
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
        label
        onlyNixStore
        partitionTableType
        rootFSUID
        rootGPUID
        touchEFIVars
        ;
    }
    // lib.optionalAttrs touchEFIVars { efiVariables = "${efiVariables}"; }
    // parameters;
in
image.build {
  inherit
    diskwright
    name
    postVM
    specification
    ;
  inherit inVM;
  variables = ''
    read -r _ _ diskImage <"$out/nix-support/hydra-build-products"
    efiVars=${lib.optionalString (touchEFIVars && !onlyNixStore) "$out/efi-vars.fd"}
  '';
}

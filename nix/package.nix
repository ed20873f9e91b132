# The program, built from this source tree by nixpkgs' buildGoModule. The module
# wants Go 1.26 or later.
{
  lib,
  buildGoModule,
  installShellFiles,
  stdenv,
  version ? "unstable",
}:
let
  # Where there is no Go: a change there builds nothing anew. Tests are not among
  # them, because the vendored modules are those that tests need, too.
  apart = map (name: toString (../. + "/${name}")) [
    ".ci"
    ".git"
    "changelog"
    "diskwright" # the program, if `make build` was here
    "docs"
    "examples"
    "flake.lock"
    "flake.nix"
    "nix"
    "out"
    "result"
  ];
in
buildGoModule {
  pname = "diskwright";
  inherit version;

  src = lib.cleanSourceWith {
    name = "diskwright-source";
    src = ../.;
    filter = path: _: !(lib.elem path apart) && !(lib.hasSuffix ".img" path);
  };

  # The hash of what `go mod vendor` makes: nix/vendor-hash calculates it, and a
  # test compares.
  vendorHash = lib.removeSuffix "\n" (builtins.readFile ./vendor-hash.txt);

  subPackages = [ "cmd/diskwright" ];
  env.CGO_ENABLED = "0";
  ldflags = [
    "-s"
    "-w"
  ];

  # The tests compare with programs of many packages, and some need root:
  # `make test` runs them.
  doCheck = false;

  nativeBuildInputs = [ installShellFiles ];
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    for shell in bash fish zsh; do
      "$out/bin/diskwright" completion "$shell" >"diskwright.$shell"
    done
    installShellCompletion diskwright.{bash,fish,zsh}
  '';

  meta = {
    description = "Partitioned, reproducible disk images without a virtual machine, root or mkfs";
    license = lib.licenses.mit;
    mainProgram = "diskwright";
    platforms = lib.platforms.linux ++ lib.platforms.darwin;
  };
}

# The functions of nixpkgs' lib that the expressions of nix/ use, made anew.
let
  inherit (builtins)
    all
    any
    attrNames
    concatLists
    concatStringsSep
    elem
    filter
    head
    isAttrs
    isBool
    isInt
    isList
    isString
    length
    listToAttrs
    mapAttrs
    replaceStrings
    toJSON
    ;
in
rec {
  inherit
    all
    any
    attrNames
    concatLists
    concatStringsSep
    elem
    filter
    head
    isAttrs
    isBool
    isInt
    isList
    isString
    length
    mapAttrs
    ;

  version = "26.05.standin";
  trivial.release = "26.05";
  versionOlder = a: b: builtins.compareVersions a b < 0;

  assertMsg = condition: message: condition || throw message;
  assertOneOf =
    name: value: allowed:
    assertMsg (elem value allowed)
      "${name} must be one of [ ${concatStringsSep " " (map toJSON allowed)} ], but is: ${toJSON value}";

  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  optionalString = condition: text: if condition then text else "";
  optionalAttrs = condition: attrs: if condition then attrs else { };

  subtractLists = without: filter (value: !elem value without);
  unique = builtins.foldl' (list: value: if elem value list then list else list ++ [ value ]) [ ];
  flatten = value: if isList value then builtins.concatMap flatten value else [ value ];
  last = list: builtins.elemAt list (builtins.length list - 1);

  filterAttrs =
    keep: attrs:
    listToAttrs (
      map (name: {
        inherit name;
        value = attrs.${name};
      }) (filter (name: keep name attrs.${name}) (attrNames attrs))
    );
  genAttrs =
    names: value:
    listToAttrs (
      map (name: {
        inherit name;
        value = value name;
      }) names
    );
  recursiveUpdate =
    a: b:
    if isAttrs a && isAttrs b then
      a // mapAttrs (name: value: if a ? ${name} then recursiveUpdate a.${name} value else value) b
    else
      b;
  recurseIntoAttrs = attrs: attrs // { recurseForDerivations = true; };
  mapAttrsToList = f: attrs: map (name: f name attrs.${name}) (attrNames attrs);
  attrByPath =
    path: default: attrs:
    if path == [ ] then
      attrs
    else if attrs ? ${builtins.head path} then
      attrByPath (builtins.tail path) default attrs.${builtins.head path}
    else
      default;

  makeBinPath = packages: concatStringsSep ":" (map (package: "${package}/bin") packages);
  escapeShellArg = value: "'${replaceStrings [ "'" ] [ "'\\''" ] (toString value)}'";
  hasSuffix =
    suffix: text:
    let
      n = builtins.stringLength text;
      s = builtins.stringLength suffix;
    in
    n >= s && builtins.substring (n - s) s text == suffix;

  removeSuffix =
    suffix: text:
    if hasSuffix suffix text then
      builtins.substring 0 (builtins.stringLength text - builtins.stringLength suffix) text
    else
      text;

  cleanSourceWith =
    {
      src,
      filter,
      name ? "source",
    }:
    builtins.path {
      path = src;
      inherit filter name;
    };
  cleanSource =
    src:
    cleanSourceWith {
      inherit src;
      filter = path: _: baseNameOf path != ".git";
    };

  getName = package: package.pname;
  getVersion = package: package.version;
  licenses.mit = "MIT";
  platforms.linux = [
    "x86_64-linux"
    "aarch64-linux"
  ];
  platforms.darwin = [
    "x86_64-darwin"
    "aarch64-darwin"
  ];

  # Of the module system: see modules.nix.
  inherit (import ./modules.nix)
    evalModules
    literalExpression
    mkDefault
    mkForce
    mkIf
    mkOption
    mkOptionDefault
    types
    ;
}
